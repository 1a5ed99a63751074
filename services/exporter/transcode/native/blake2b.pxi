# BLAKE2b (RFC 7693) without a key, with 16 bytes of output; tests compare it with hashlib.

cdef enum:
    BLAKE2B_BLOCK = 128
    HASH_BYTES = 16

cdef uint64_t[8] BLAKE2B_IV
BLAKE2B_IV[:] = [
    0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
    0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
]
cdef unsigned char[12][16] BLAKE2B_SIGMA  # rounds 11 and 12 repeat the first two
for _round, _order in enumerate((
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
)):
    for _at, _word in enumerate(_order):
        BLAKE2B_SIGMA[_round][_at] = _word


cdef inline uint64_t rotated(uint64_t word, int bits) noexcept nogil:
    return word >> bits | word << (64 - bits)


cdef inline void mix(uint64_t* v, int a, int b, int c, int d, uint64_t x, uint64_t y) noexcept nogil:
    v[a] += v[b] + x
    v[d] = rotated(v[d] ^ v[a], 32)
    v[c] += v[d]
    v[b] = rotated(v[b] ^ v[c], 24)
    v[a] += v[b] + y
    v[d] = rotated(v[d] ^ v[a], 16)
    v[c] += v[d]
    v[b] = rotated(v[b] ^ v[c], 63)


cdef void compress(uint64_t* state, const unsigned char* block, uint64_t taken, bint is_last) noexcept nogil:
    cdef uint64_t[16] v
    cdef uint64_t[16] m
    cdef unsigned char* s
    cdef int at
    memcpy(m, block, BLAKE2B_BLOCK)
    for at in range(8):
        v[at], v[at + 8] = state[at], BLAKE2B_IV[at]
    v[12] ^= taken  # the upper half of the counter is 0: no row has 2^64 bytes
    if is_last:
        v[14] = ~v[14]
    for at in range(12):
        s = BLAKE2B_SIGMA[at]
        mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]])
        mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]])
        mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]])
        mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]])
        mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]])
        mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]])
        mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]])
        mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]])
    for at in range(8):
        state[at] ^= v[at] ^ v[at + 8]


cdef void blake2b(const unsigned char* content, size_t size, unsigned char* digest) noexcept nogil:
    """The 16 bytes of the hash of some content."""
    cdef uint64_t[8] state
    cdef unsigned char[128] last
    cdef uint64_t taken = 0
    memcpy(state, BLAKE2B_IV, sizeof(state))
    state[0] ^= 0x01010000 ^ HASH_BYTES
    while size > BLAKE2B_BLOCK:
        taken += BLAKE2B_BLOCK
        compress(state, content, taken, False)
        content += BLAKE2B_BLOCK
        size -= BLAKE2B_BLOCK
    memset(last, 0, BLAKE2B_BLOCK)
    if size:
        memcpy(last, content, size)
    compress(state, last, taken + size, True)
    memcpy(digest, state, HASH_BYTES)
