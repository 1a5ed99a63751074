# Integers and IEEE 754 decimals as text.

cdef extern from *:
    """
    static const char CX_PAIRS[201] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051"
        "52535455565758596061626364656667686970717273747576777879808182838485868788899091929394959697" "9899";

    /* Writes the digits of a 113-bit coefficient so that they end before `end`; returns how many there are. */
    static inline int cx_wide_digits(uint64_t high, uint64_t low, char *end) {
        unsigned __int128 left = ((unsigned __int128) high << 64) | low;
        int count = 0;
        do { *--end = (char) ('0' + (int) (left % 10)); left /= 10; count++; } while (left);
        return count;
    }

    static inline uint64_t cx_product_high(uint64_t a, uint64_t b) {
        return (uint64_t) (((unsigned __int128) a * b) >> 64);
    }

    /* (g * factor) >> 128 with the lowest bit set if bits were lost; g is g1 * 2**64 + g0. */
    static inline uint64_t cx_rounded_to_odd(uint64_t g1, uint64_t g0, uint64_t factor) {
        unsigned __int128 x = (unsigned __int128) g0 * factor;
        unsigned __int128 y = (unsigned __int128) g1 * factor + (uint64_t) (x >> 64);
        return (uint64_t) (y >> 64) | ((uint64_t) y > 1);
    }
    """
    const char* CX_PAIRS
    int cx_wide_digits(uint64_t high, uint64_t low, char* end) nogil
    uint64_t cx_product_high(uint64_t a, uint64_t b) nogil
    uint64_t cx_rounded_to_odd(uint64_t g1, uint64_t g0, uint64_t factor) nogil


cdef inline int digits_before(uint64_t value, char* end) noexcept nogil:
    """Writes digits so that they end before `end`; returns how many there are (1 to 20)."""
    cdef char* at = end
    cdef unsigned int pair
    while value >= 100:
        pair = <unsigned int> (value % 100)
        value //= 100
        at -= 2
        memcpy(at, CX_PAIRS + 2 * pair, 2)
    if value >= 10:
        at -= 2
        memcpy(at, CX_PAIRS + 2 * value, 2)
    else:
        at -= 1
        at[0] = <char> (48 + value)
    return <int> (end - at)


cdef inline void put_unsigned(Out* out, uint64_t value) noexcept nogil:
    cdef char digits[20]
    cdef int count = digits_before(value, digits + 20)
    put(out, digits + 20 - count, count)


cdef inline void put_integer(Out* out, int64_t value) noexcept nogil:
    if value < 0:
        put_byte(out, b"-")
        put_unsigned(out, -<uint64_t> value)
    else:
        put_unsigned(out, value)


cdef inline void put_padded(Out* out, unsigned int value, int width) noexcept nogil:
    """At least `width` digits, with leading zeros."""
    cdef char digits[20]
    cdef int count = digits_before(value, digits + 20)
    while count < width:
        count += 1
        digits[20 - count] = b"0"
    put(out, digits + 20 - count, count)


cdef struct Decimal:
    bint negative
    int exponent
    int count  # of digits
    char digits[39]  # the last `count`


cdef bint read_decimal(const unsigned char* bid, Decimal* decimal) noexcept nogil:
    """A finite Decimal128 in its usual encoding; False for any other, which is left to the driver."""
    cdef uint64_t low, high, coefficient
    memcpy(&low, bid, 8)
    memcpy(&high, bid + 8, 8)
    if (high >> 61) & 3 == 3:
        return False
    coefficient = high & <uint64_t> 0x1FFFFFFFFFFFF
    decimal.negative = high >> 63
    decimal.exponent = <int> ((high >> 49) & 0x3FFF) - 6176
    decimal.count = cx_wide_digits(coefficient, low, decimal.digits + 39)
    return decimal.count <= 34


cdef void put_decimal(Out* out, Decimal* decimal) noexcept nogil:
    """As Python's decimal writes it: General Decimal Arithmetic, to-scientific-string."""
    cdef const char* digits = decimal.digits + 39 - decimal.count
    cdef int count = decimal.count, before = decimal.exponent + count, point, power
    point = before if decimal.exponent <= 0 and before > -6 else 1
    if decimal.negative:
        put_byte(out, b"-")
    if point <= 0:
        put(out, b"0.", 2)
        put_repeated(out, b"0", -point)
        put(out, digits, count)
    else:  # point <= count, because the exponent of a plain number is at most zero
        put(out, digits, point)
        if count > point:
            put_byte(out, b".")
            put(out, digits + point, count - point)
    power = before - point
    if power:
        put(out, b"E-" if power < 0 else b"E+", 2)
        put_unsigned(out, -power if power < 0 else power)


cdef double POWERS_OF_TEN[23]
for _at in range(23):
    POWERS_OF_TEN[_at] = 10.0**_at


cdef bint nearest_double(Decimal* decimal, double* near) noexcept nogil:
    """The nearest double to a decimal of up to 15 significant digits, if one rounding suffices; else False."""
    cdef int at = 39 - decimal.count, last = 39, power
    cdef uint64_t whole = 0
    while last > at and decimal.digits[last - 1] == b"0":
        last -= 1
    if last - at > 15:
        return False
    power = decimal.exponent + 39 - last
    while at < last:
        whole = whole * 10 + <uint64_t> (decimal.digits[at] - 48)
        at += 1
    if whole == 0:
        power = 0
    if not -22 <= power <= 22:
        return False
    near[0] = <double> whole * POWERS_OF_TEN[power] if power >= 0 else <double> whole / POWERS_OF_TEN[-power]
    if decimal.negative:
        near[0] = -near[0]
    return True
