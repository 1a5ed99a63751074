# Values as text in flat formats: plain values, and lists joined with `|`. The rules are in docs/values.md.

cdef const char* HEX = b"0123456789abcdef"
cdef const char* BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


cdef void put_hex(Out* out, const unsigned char* bytes, size_t size) noexcept nogil:
    cdef char* place = room(out, 2 * size)
    cdef size_t at
    if place != NULL:
        for at in range(size):
            place[2 * at] = HEX[bytes[at] >> 4]
            place[2 * at + 1] = HEX[bytes[at] & 15]
        out.size += 2 * size


cdef void put_uuid(Out* out, const unsigned char* bytes) noexcept nogil:
    put_hex(out, bytes, 4)
    put_byte(out, b"-")
    put_hex(out, bytes + 4, 2)
    put_byte(out, b"-")
    put_hex(out, bytes + 6, 2)
    put_byte(out, b"-")
    put_hex(out, bytes + 8, 2)
    put_byte(out, b"-")
    put_hex(out, bytes + 10, 6)


cdef void put_base64(Out* out, const unsigned char* bytes, size_t size) noexcept nogil:
    cdef char* place = room(out, (size + 2) // 3 * 4)
    cdef unsigned int group
    cdef size_t at = 0, left
    if place == NULL:
        return
    while at < size:
        left = size - at
        group = bytes[at] << 16 | (bytes[at + 1] << 8 if left > 1 else 0) | (bytes[at + 2] if left > 2 else 0)
        place[0] = BASE64[group >> 18]
        place[1] = BASE64[(group >> 12) & 63]
        place[2] = BASE64[(group >> 6) & 63] if left > 1 else b"="
        place[3] = BASE64[group & 63] if left > 2 else b"="
        place += 4
        at += 3
    out.size += (size + 2) // 3 * 4


cdef int put_plain(Out* out, unsigned char kind, const unsigned char* at, Py_ssize_t size) noexcept nogil:
    """A value that is neither list nor object."""
    cdef Decimal decimal
    cdef double number
    if kind == TEXT:
        if not is_utf8(at + 4, size - 5):
            return FALLBACK
        put(out, <const char*> at + 4, size - 5)
    elif kind == INT32:
        put_integer(out, int32_at(at))
    elif kind == INT64:
        put_integer(out, int64_at(at))
    elif kind == DOUBLE:
        number = double_at(at)
        if not isfinite(number):
            if isnan(number):
                put(out, b"NaN", 3)
            elif number > 0:
                put(out, b"Infinity", 8)
            else:
                put(out, b"-Infinity", 9)
        else:
            put_double(out, number)
    elif kind == BOOL:
        if at[0]:
            put(out, b"true", 4)
        else:
            put(out, b"false", 5)
    elif kind == DATE:
        put_instant(out, int64_at(at))
    elif kind == DECIMAL:
        if not read_decimal(at, &decimal):
            return FALLBACK
        put_decimal(out, &decimal)
    elif kind == OBJECT_ID:
        put_hex(out, at, 12)
    elif kind == BINARY:
        if (at[4] == 3 or at[4] == 4) and size == 21:
            put_uuid(out, at + 5)
        else:
            put_base64(out, at + 5, size - 5)
    elif kind == TIMESTAMP:
        put_unsigned(out, <unsigned int> int32_at(at + 4))
        put_byte(out, b":")
        put_unsigned(out, <unsigned int> int32_at(at))
    elif kind != NULL_VALUE and kind != UNDEFINED:
        return FALLBACK
    return OK


cdef int put_list(Out* out, Tree* tree, int node, const unsigned char* at, Py_ssize_t size) noexcept nogil:
    """A list as text: its items joined with `|`, or JSON if they could not be told apart."""
    cdef const unsigned char* whole = at
    cdef const unsigned char* end = at + size - 1
    cdef size_t begin = out.size
    cdef unsigned char kind
    cdef Py_ssize_t length, of_value
    cdef bint first = True
    at += 4
    while at < end:
        kind = at[0]
        at += 1
        length = key_size(at, end)
        if length < 0:
            return FALLBACK
        at += length + 1
        of_value = size_of(kind, at, end)
        if of_value < 0:
            return FALLBACK
        if kind == OBJECT or kind == LIST or (kind == TEXT and memchr(at + 4, b"|", of_value - 5) != NULL):
            if tree.pretty or tree.quote_decimals:  # the labels of this tree are not those of a text
                return FALLBACK
            out.size = begin
            return put_json_list(out, tree, node, whole, size, 0, NONE)
        if not first:
            put_byte(out, b"|")
        first = False
        if put_plain(out, kind, at, of_value):
            return FALLBACK
        at += of_value
    return OK
