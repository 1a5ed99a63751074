# Doubles as Python's repr writes them: the shortest digits that read back as the same double, the nearest of those.
#
# Python's function needs the GIL, so this implements Raffaello Giulietti's Schubfach ("The Schubfach way to render doubles",
# 2021), with the names used there. The powers of ten are computed when the module is loaded.

cdef enum:
    MIN_POWER = -292
    MAX_POWER = 324

cdef uint64_t POWER_HIGH[MAX_POWER - MIN_POWER + 1]
cdef uint64_t POWER_LOW[MAX_POWER - MIN_POWER + 1]


def _powers():
    """10**k scaled to 128 bits, rounded up, for every k."""
    for k in range(MIN_POWER, MAX_POWER + 1):
        if k >= 0:
            exact, shift = 10**k, 128 - (10**k).bit_length()
            g = exact << shift if shift >= 0 else -(-exact >> -shift)
        else:
            g = -(-(1 << ((10**-k).bit_length() + 127)) // 10**-k)
        if g.bit_length() > 128:
            g = (g + 1) >> 1
        yield k - MIN_POWER, g


for _at, _g in _powers():
    POWER_HIGH[_at], POWER_LOW[_at] = _g >> 64, _g & 0xFFFFFFFFFFFFFFFF


cdef struct Shortest:
    uint64_t digits
    int exponent


cdef Shortest shortest(uint64_t fraction, int biased) noexcept nogil:
    """The digits and the power of ten of a finite double that is not zero."""
    cdef Shortest result
    cdef uint64_t c, g1, g0, cb, cbl, cbr, vb, vbl, vbr, lower, upper, s, sp
    cdef int q, k, h
    cdef bint odd, closer, up, down
    if biased:
        c, q = fraction | <uint64_t> 1 << 52, biased - 1075
    else:
        c, q = fraction, -1074
    if 0 <= -q < 53 and not c & ((<uint64_t> 1 << -q) - 1):
        result.digits, result.exponent = c >> -q, 0
        return result
    odd, closer = c & 1, fraction == 0 and biased > 1
    cb = 4 * c
    cbl, cbr = cb - 2 + closer, cb + 2
    k = (q * 1262611 - (524031 if closer else 0)) >> 22
    h = q + ((-k * 1741647) >> 19) + 1
    g1, g0 = POWER_HIGH[-k - MIN_POWER], POWER_LOW[-k - MIN_POWER]
    vbl, vb, vbr = cx_rounded_to_odd(g1, g0, cbl << h), cx_rounded_to_odd(g1, g0, cb << h), cx_rounded_to_odd(g1, g0, cbr << h)
    lower, upper = vbl + odd, vbr - odd
    s = vb >> 2
    if s >= 10:
        sp = s // 10
        up, down = lower <= 40 * sp, 40 * sp + 40 <= upper
        if up != down:
            result.digits, result.exponent = sp + down, k + 1
            return result
    up, down = lower <= 4 * s, 4 * s + 4 <= upper
    result.exponent = k
    if up == down:
        down = vb > 4 * s + 2 or (vb == 4 * s + 2 and (s & 1) == 1)
    result.digits = s + down
    return result


cdef void put_double(Out* out, double value) noexcept nogil:
    """A finite double."""
    cdef uint64_t bits, left
    cdef Shortest found
    cdef char digits[20]
    cdef const char* first
    cdef int count, point, power
    memcpy(&bits, &value, 8)
    if bits >> 63:
        put_byte(out, b"-")
        bits ^= <uint64_t> 1 << 63
    if bits == 0:
        put(out, b"0.0", 3)
        return
    found = shortest(bits & ((<uint64_t> 1 << 52) - 1), <int> (bits >> 52))
    left = found.digits
    while left % 10 == 0:
        left //= 10
        found.exponent += 1
    count = digits_before(left, digits + 20)
    first = digits + 20 - count
    point = count + found.exponent  # digits before the decimal point
    if -4 < point <= 0:
        put(out, b"0.", 2)
        put_repeated(out, b"0", -point)
        put(out, first, count)
    elif 0 < point <= 16:
        if count <= point:
            put(out, first, count)
            put_repeated(out, b"0", point - count)
            put(out, b".0", 2)
        else:
            put(out, first, point)
            put_byte(out, b".")
            put(out, first + point, count - point)
    else:
        put(out, first, 1)
        if count > 1:
            put_byte(out, b".")
            put(out, first + 1, count - 1)
        power = point - 1
        put(out, b"e-" if power < 0 else b"e+", 2)
        put_padded(out, -power if power < 0 else power, 2)
