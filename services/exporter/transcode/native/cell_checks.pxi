# Checks the cells of a row against what the receiver of the file accepts; the rules are those of cell_checks.py.

cdef enum:
    ACCEPTED = 0
    MISSING_REQUIRED = 1
    NOT_ALLOWED = 2
    TOO_LONG = 3
    INVALID_PRICE = 4
    INVALID_GTIN = 5
    INVALID_LINK = 6
    NOT_A_TEXT = 7
    REFUSALS = 8
    UNCHECKED = 8  # left to the reference
    KIND_TEXT = 0
    KIND_PRICE = 1
    KIND_GTIN = 2
    KIND_LINK = 3
    MAX_GTIN = 14

REFUSAL_REASONS = (
    "", "missing_value", "not_allowed", "too_long", "invalid_price", "invalid_gtin", "invalid_link", "not_text"
)

cdef struct Check:
    bint is_set
    bint required
    Span* values  # sorted
    int value_count
    Py_ssize_t max_length  # NONE: any
    int kind
    Span currencies  # sorted, three letters each
    Span* reserved
    int reserved_count
    int64_t refused[8]  # rows that are counted, but not listed, by reason
    int now  # the reason for this row

cdef struct Group:
    const int* places
    int count
    bint now
    int64_t refused


cdef int order_of(const unsigned char* text, Py_ssize_t size, Span* other) noexcept nogil:
    cdef int order = memcmp(text, other.at, size if size < other.size else other.size)
    if order == 0:
        return 0 if size == other.size else (-1 if size < other.size else 1)
    return order


cdef bint is_among(const unsigned char* text, Py_ssize_t size, Span* values, int count) noexcept nogil:
    cdef int low = 0, high = count, middle, order
    while low < high:
        middle = (low + high) // 2
        order = order_of(text, size, &values[middle])
        if order == 0:
            return True
        if order < 0:
            high = middle
        else:
            low = middle + 1
    return False


cdef bint is_longer(const unsigned char* text, Py_ssize_t size, Py_ssize_t limit) noexcept nogil:
    """Whether a text has more characters than `limit`."""
    cdef Py_ssize_t at, characters = 0
    if size <= limit:
        return False
    for at in range(size):
        characters += not continues(text[at])
    return characters > limit


cdef bint is_price(const unsigned char* text, Py_ssize_t size, Span* currencies) noexcept nogil:
    cdef Py_ssize_t at = 0, begin, low = 0, high = currencies.size // 3, middle
    cdef int order
    while at < size and is_digit(text[at]):
        at += 1
    if at == 0:
        return False
    if at < size and text[at] == b".":
        at += 1
        begin = at
        while at < size and is_digit(text[at]):
            at += 1
        if at == begin:
            return False
    if size - at != 4 or text[at] != b" ":
        return False
    while low < high:
        middle = (low + high) // 2
        order = memcmp(text + at + 1, currencies.at + 3 * middle, 3)
        if order == 0:
            return True
        if order < 0:
            high = middle
        else:
            low = middle + 1
    return False


cdef bint is_gtin(const unsigned char* text, Py_ssize_t size, Span* reserved, int reserved_count) noexcept nogil:
    cdef unsigned char digits[MAX_GTIN]  # right-aligned, with zeros before them
    cdef Py_ssize_t at
    cdef int count = 0, total = 0, place
    for at in range(size - 1, -1, -1):
        if text[at] == b" " or text[at] == b"-":
            continue
        if not is_digit(text[at]) or count == MAX_GTIN:
            return False
        count += 1
        digits[MAX_GTIN - count] = text[at]
        total += (text[at] - 48) * (1 if count % 2 else 3)
    if count != 8 and not 12 <= count <= 14:
        return False
    if total % 10:
        return False
    if count == 8:
        return True
    for at in range(MAX_GTIN - count):
        digits[at] = 48
    for place in range(reserved_count):
        if memcmp(digits + 1, reserved[place].at, reserved[place].size) == 0:
            return False
    return True


cdef bint is_link(const unsigned char* text, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t at = 4
    if size < 5 or memcmp(text, b"http", 4):
        return False
    if text[at] == b"s":
        at += 1
    if size - at < 4 or memcmp(text + at, b"://", 3):
        return False
    for at in range(at + 3, size):
        if text[at] <= 0x20:
            return False
    return True


cdef int refusal_of(
    Check* check, Out* scratch, unsigned char kind, const unsigned char* text, Py_ssize_t size
) noexcept nogil:
    """Why the receiver refuses a cell."""
    if kind == 0:
        return MISSING_REQUIRED if check.required else ACCEPTED
    if kind == LIST or kind == OBJECT:
        return NOT_A_TEXT
    if check.value_count == 0 and check.max_length == NONE and check.kind == KIND_TEXT:
        return ACCEPTED
    if kind == TEXT or kind == NUMBER_TEXT:
        text, size = text + 4, size - 5
    else:
        scratch.size = 0
        if put_plain(scratch, kind, text, size) or scratch.failed:
            return UNCHECKED
        text, size = <const unsigned char*> scratch.bytes, scratch.size
    if check.value_count and not is_among(text, size, check.values, check.value_count):
        return NOT_ALLOWED
    if check.max_length != NONE and is_longer(text, size, check.max_length):
        return TOO_LONG
    if check.kind == KIND_PRICE and not is_price(text, size, &check.currencies):
        return INVALID_PRICE
    if check.kind == KIND_GTIN and not is_gtin(text, size, check.reserved, check.reserved_count):
        return INVALID_GTIN
    if check.kind == KIND_LINK and not is_link(text, size):
        return INVALID_LINK
    return ACCEPTED


cdef int check_cells(
    Check* checks, Group* groups, int group_count, Out* scratch, Row* cells, bint* is_refused
) noexcept nogil:
    """Note in `checks` and `groups` what the receiver refuses in a row."""
    cdef Check* check
    cdef int at, place
    is_refused[0] = False
    for at in range(cells.width):
        check = &checks[at]
        if not check.is_set:
            continue
        check.now = refusal_of(check, scratch, cells.kinds[at], cells.values[at], cells.sizes[at])
        if check.now == UNCHECKED:
            return FALLBACK
        if check.now != ACCEPTED:
            is_refused[0] = True
    for at in range(group_count):
        groups[at].now = True
        for place in range(groups[at].count):
            if cells.kinds[groups[at].places[place]]:
                groups[at].now = False
                break
        if groups[at].now:
            is_refused[0] = True
    return OK


cdef void count_refused(Check* checks, int count, Group* groups, int group_count) noexcept nogil:
    cdef int at
    for at in range(count):
        checks[at].refused[checks[at].now] += 1
    for at in range(group_count):
        groups[at].refused += groups[at].now
