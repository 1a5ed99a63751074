# SipHash-2-4 with 128 bits of output, as siphash.py defines it.

cdef enum:
    HASH_BYTES = 16


cdef inline uint64_t rotated(uint64_t word, int bits) noexcept nogil:
    return word << bits | word >> (64 - bits)


cdef inline void sip_rounds(uint64_t* v, int count) noexcept nogil:
    cdef uint64_t a = v[0], b = v[1], c = v[2], d = v[3]
    cdef int _
    for _ in range(count):
        a += b
        c += d
        b = rotated(b, 13) ^ a
        d = rotated(d, 16) ^ c
        a = rotated(a, 32)
        c += b
        a += d
        b = rotated(b, 17) ^ c
        d = rotated(d, 21) ^ a
        c = rotated(c, 32)
    v[0], v[1], v[2], v[3] = a, b, c, d


cdef void siphash(const unsigned char* content, size_t size, unsigned char* digest) noexcept nogil:
    """The 16 bytes of the hash of some content."""
    cdef uint64_t[4] v
    cdef uint64_t key_low = <uint64_t> 0x0706050403020100, key_high = <uint64_t> 0x0F0E0D0C0B0A0908, word
    cdef uint64_t last = <uint64_t> size << 56
    cdef size_t at = 0, whole = size & ~<size_t> 7
    v[0] = key_low ^ <uint64_t> 0x736F6D6570736575
    v[1] = key_high ^ <uint64_t> 0x646F72616E646F6D ^ 0xEE
    v[2] = key_low ^ <uint64_t> 0x6C7967656E657261
    v[3] = key_high ^ <uint64_t> 0x7465646279746573
    while at < whole:
        memcpy(&word, content + at, 8)
        v[3] ^= word
        sip_rounds(v, 2)
        v[0] ^= word
        at += 8
    word = 0
    if size > whole:
        memcpy(&word, content + whole, size - whole)
    last |= word
    v[3] ^= last
    sip_rounds(v, 2)
    v[0] ^= last
    v[2] ^= 0xEE
    sip_rounds(v, 4)
    word = v[0] ^ v[1] ^ v[2] ^ v[3]
    memcpy(digest, &word, 8)
    v[1] ^= 0xDD
    sip_rounds(v, 4)
    word = v[0] ^ v[1] ^ v[2] ^ v[3]
    memcpy(digest + 8, &word, 8)
