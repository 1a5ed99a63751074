# Strict UTF-8, as Python decodes it. Invalid text is left to the reference, which replaces the invalid bytes.

cdef bint is_utf8(const unsigned char* text, size_t size) noexcept nogil:
    cdef const unsigned char* end = text + size
    cdef uint64_t word
    cdef unsigned char lead
    while text < end:
        if end - text >= 8:
            memcpy(&word, text, 8)
            if not word & <uint64_t> 0x8080808080808080:
                text += 8
                continue
        lead = text[0]
        if lead < 0x80:
            text += 1
        elif lead < 0xC2:
            return False
        elif lead < 0xE0:
            if end - text < 2 or not continues(text[1]):
                return False
            text += 2
        elif lead < 0xF0:
            if end - text < 3 or not continues(text[1]) or not continues(text[2]):
                return False
            if lead == 0xE0 and text[1] < 0xA0 or lead == 0xED and text[1] >= 0xA0:  # overlong; surrogates
                return False
            text += 3
        else:
            if lead > 0xF4 or end - text < 4:
                return False
            if not continues(text[1]) or not continues(text[2]) or not continues(text[3]):
                return False
            if lead == 0xF0 and text[1] < 0x90 or lead == 0xF4 and text[1] >= 0x90:  # overlong; beyond U+10FFFF
                return False
            text += 4
    return True


cdef inline bint continues(unsigned char byte) noexcept nogil:
    return byte & 0xC0 == 0x80


cdef inline bint is_blank(unsigned int character) noexcept nogil:
    """Whether str.strip removes the character."""
    if character < 0x80:
        return character == 0x20 or 0x09 <= character <= 0x0D or 0x1C <= character <= 0x1F
    return (
        character == 0x85 or character == 0xA0 or character == 0x1680 or 0x2000 <= character <= 0x200A
        or character == 0x2028 or character == 0x2029 or character == 0x202F or character == 0x205F
        or character == 0x3000
    )


cdef inline unsigned int character_at(const unsigned char* text) noexcept nogil:
    """The code point at `text`, which is valid UTF-8; 0 for one of four bytes, since none of those is a blank."""
    if text[0] < 0x80:
        return text[0]
    if text[0] < 0xE0:
        return (text[0] & 0x1F) << 6 | (text[1] & 0x3F)
    if text[0] < 0xF0:
        return (text[0] & 0x0F) << 12 | (text[1] & 0x3F) << 6 | (text[2] & 0x3F)
    return 0


cdef bint has_blank_ends(const unsigned char* text, size_t size) noexcept nogil:
    """Whether str.strip would change a valid text."""
    cdef const unsigned char* last
    if size == 0:
        return False
    last = text + size - 1
    while last > text and continues(last[0]):
        last -= 1
    return is_blank(character_at(text)) or is_blank(character_at(last))
