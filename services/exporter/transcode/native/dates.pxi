# Milliseconds since 1970 as text, in the whole range of 64 bits: proleptic Gregorian calendar, UTC.

cdef enum:
    DAY_MILLIS = 86400000
    CYCLE_DAYS = 146097  # the calendar repeats after 400 years


cdef inline int64_t floor_quotient(int64_t value, int64_t by) noexcept nogil:
    return value // by - (1 if value % by < 0 else 0)


cdef void put_instant(Out* out, int64_t millis) noexcept nogil:
    """RFC 3339; years beyond 0 to 9999 as ISO 8601 expanded years."""
    cdef int64_t days = floor_quotient(millis, DAY_MILLIS), year
    cdef unsigned int rest = <unsigned int> (millis - days * DAY_MILLIS), of_cycle, of_year, years, moon, month, day
    # Years are counted from 0000-03-01: with March as the first month, the leap day is the last day of a year.
    cdef int64_t cycle = floor_quotient(days + 719468, CYCLE_DAYS)
    of_cycle = <unsigned int> (days + 719468 - cycle * CYCLE_DAYS)
    years = (of_cycle - of_cycle // 1460 + of_cycle // 36524 - of_cycle // 146096) // 365
    of_year = of_cycle - (365 * years + years // 4 - years // 100)
    moon = (5 * of_year + 2) // 153
    day = of_year - (153 * moon + 2) // 5 + 1
    month = moon + 3 if moon < 10 else moon - 9
    year = cycle * 400 + years + (month <= 2)
    if 0 <= year <= 9999:
        put_padded(out, <unsigned int> year, 4)
    else:
        put_byte(out, b"-" if year < 0 else b"+")
        put_padded(out, <unsigned int> (-year if year < 0 else year), 6)
    put_pair(out, b"-", month)
    put_pair(out, b"-", day)
    put_pair(out, b"T", rest // 3600000)
    put_pair(out, b":", rest // 60000 % 60)
    put_pair(out, b":", rest // 1000 % 60)
    if rest % 1000:
        put_byte(out, b".")
        put_padded(out, rest % 1000, 3)
    put_byte(out, b"Z")


cdef inline void put_pair(Out* out, char before, unsigned int value) noexcept nogil:
    cdef char* place = room(out, 3)
    if place != NULL:
        place[0] = before
        memcpy(place + 1, CX_PAIRS + 2 * value, 2)
        out.size += 3
