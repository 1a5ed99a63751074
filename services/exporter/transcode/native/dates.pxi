# Milliseconds since 1970 as text, in the whole range of 64 bits: proleptic Gregorian calendar, UTC.

cdef enum:
    DAY_MILLIS = 86400000
    CYCLE_DAYS = 146097  # the calendar repeats after 400 years


cdef inline int64_t floor_quotient(int64_t value, int64_t by) noexcept nogil:
    return value // by - (1 if value % by < 0 else 0)


cdef struct Civil:
    int64_t days  # since 1970
    int64_t year
    unsigned int month
    unsigned int day
    unsigned int millis  # of the day


cdef Civil civil_of(int64_t millis) noexcept nogil:
    cdef Civil result
    cdef int64_t days = floor_quotient(millis, DAY_MILLIS)
    cdef unsigned int of_cycle, of_year, years, moon
    # Years are counted from 0000-03-01: with March as the first month, the leap day is the last day of a year.
    cdef int64_t cycle = floor_quotient(days + 719468, CYCLE_DAYS)
    of_cycle = <unsigned int> (days + 719468 - cycle * CYCLE_DAYS)
    years = (of_cycle - of_cycle // 1460 + of_cycle // 36524 - of_cycle // 146096) // 365
    of_year = of_cycle - (365 * years + years // 4 - years // 100)
    moon = (5 * of_year + 2) // 153
    result.days, result.millis = days, <unsigned int> (millis - days * DAY_MILLIS)
    result.day = of_year - (153 * moon + 2) // 5 + 1
    result.month = moon + 3 if moon < 10 else moon - 9
    result.year = cycle * 400 + years + (result.month <= 2)
    return result


cdef void put_instant(Out* out, int64_t millis) noexcept nogil:
    """RFC 3339; years beyond 0 to 9999 as ISO 8601 expanded years."""
    cdef Civil at = civil_of(millis)
    if 0 <= at.year <= 9999:
        put_padded(out, <unsigned int> at.year, 4)
    else:
        put_byte(out, b"-" if at.year < 0 else b"+")
        put_padded(out, <unsigned int> (-at.year if at.year < 0 else at.year), 6)
    put_pair(out, b"-", at.month)
    put_pair(out, b"-", at.day)
    put_pair(out, b"T", at.millis // 3600000)
    put_pair(out, b":", at.millis // 60000 % 60)
    put_pair(out, b":", at.millis // 1000 % 60)
    if at.millis % 1000:
        put_byte(out, b".")
        put_padded(out, at.millis % 1000, 3)
    put_byte(out, b"Z")


cdef inline void put_pair(Out* out, char before, unsigned int value) noexcept nogil:
    cdef char* place = room(out, 3)
    if place != NULL:
        place[0] = before
        memcpy(place + 1, CX_PAIRS + 2 * value, 2)
        out.size += 3
