# Cells made from fields as the columns of a request describe them; the rules are those of cell_rules.py.
#
# Text that is made here has the layout of a BSON string, so that the writers of cells take it like any other: four bytes
# that nobody reads, the text, and one byte more. It is in an arena that moves when it grows, so cells hold offsets.

cdef enum:
    CASE_NONE = 0
    CASE_UPPER = 1
    CASE_LOWER = 2
    CASE_CAPITALIZE = 3
    IF_MISSING_EMPTY = 0
    IF_MISSING_SKIP_ROW = 1
    IF_MISSING_FAIL = 2
    CASED = 0x3000  # code points with an entry in the tables below
    MAX_POINT = 60  # digits before or after the decimal mark of numbers that are formatted here

cdef struct Span:
    const unsigned char* at  # NULL: none
    Py_ssize_t size

cdef struct Piece:
    Span text  # or else a field:
    const int* places  # of its alternatives in the row of fields
    int count

cdef struct MappedText:
    Span key
    Span text

cdef struct OutputCell:
    Piece* pieces
    int count
    int fields
    bint is_template
    unsigned char constant_kind
    Span constant
    bint has_rules
    bint has_texts
    MappedText* texts  # sorted by key
    int text_count
    Span default_text
    bint strip_html
    Span join
    bint number
    int decimals  # NONE: as many as the number has
    Span decimal_mark
    Span thousands
    Span prefix
    Span suffix
    Span date_pattern
    bint is_utc
    Span true_text
    Span false_text
    int case_
    Py_ssize_t max_length  # NONE: any
    int if_missing
    int64_t skipped  # rows that are counted, but not listed
    int64_t cut
    bint cut_now

cdef struct Cell:
    unsigned char kind
    int node
    const unsigned char* at
    Py_ssize_t size
    Py_ssize_t offset  # in the arena; NONE: not there

cdef unsigned short UPPER_CASE[CASED]
cdef unsigned short LOWER_CASE[CASED]


def _one(text):
    """The code point of a single character; 0 for anything else, which is left to the reference."""
    return ord(text) if len(text) == 1 and ord(text) < 0x10000 else 0


for _point in range(CASED):
    UPPER_CASE[_point], LOWER_CASE[_point] = _one(chr(_point).upper()), _one(chr(_point).lower())
LOWER_CASE[0x3A3] = 0  # a sigma at the end of a word has a form of its own


cdef inline bint is_missing(Cell* cell) noexcept nogil:
    cdef unsigned char kind = cell.kind
    if kind == 0 or kind == NULL_VALUE or kind == UNDEFINED:
        return True
    return cell.size == 5 and (kind == TEXT or kind == LIST or kind == OBJECT)


cdef inline const unsigned char* bytes_of(Cell* cell, Out* arena) noexcept nogil:
    return cell.at if cell.offset == NONE else <const unsigned char*> arena.bytes + cell.offset


cdef inline void use_span(Cell* cell, Span* span) noexcept nogil:
    """Make the cell a text that lies outside the arena."""
    cell.kind, cell.at, cell.size, cell.offset = TEXT, span.at, span.size, NONE


cdef inline Py_ssize_t begin_text(Out* arena) noexcept nogil:
    cdef Py_ssize_t offset = arena.size
    put(arena, b"\0\0\0\0", 4)
    return offset


cdef inline void end_text(Out* arena, Cell* cell, Py_ssize_t offset, unsigned char kind) noexcept nogil:
    put_byte(arena, 0)
    cell.kind, cell.offset, cell.size = kind, offset, arena.size - offset


cdef inline int put_value(Out* out, Tree* tree, Cell* cell, const unsigned char* at) noexcept nogil:
    """A value as in a flat format; `at` must not be in `out`."""
    if cell.kind == LIST:
        return put_list(out, tree, cell.node, at, cell.size)
    if cell.kind == OBJECT:
        return FALLBACK
    return put_plain(out, cell.kind, at, cell.size)


cdef int into_text(Out* arena, Tree* tree, Cell* cell) noexcept nogil:
    """Turn values without a type of their own in spreadsheets into text."""
    cdef Py_ssize_t offset
    cdef unsigned char kind = cell.kind
    if kind == TEXT or kind == NUMBER_TEXT or kind == BOOL or kind == DATE:
        return OK
    if kind == INT32 or kind == INT64 or kind == DOUBLE or kind == DECIMAL:
        return OK
    offset = begin_text(arena)
    if put_value(arena, tree, cell, cell.at):
        return FALLBACK
    end_text(arena, cell, offset, TEXT)
    return OK


cdef inline void first_of(Cell* cell, Piece* piece, Row* fields) noexcept nogil:
    """The first of the alternatives that is not missing."""
    cdef int at, place
    cell.offset = NONE
    for at in range(piece.count):
        place = piece.places[at]
        cell.kind, cell.node = fields.kinds[place], fields.nodes[place]
        cell.at, cell.size = fields.values[place], fields.sizes[place]
        if not is_missing(cell):
            return
    cell.kind = 0


cdef int put_template(Out* arena, Tree* tree, OutputCell* rule, Row* fields, Cell* cell) noexcept nogil:
    """The pieces joined; nothing if no field has a value."""
    cdef Py_ssize_t offset = begin_text(arena)
    cdef bint found = rule.fields == 0
    cdef int at
    cdef Piece* piece
    for at in range(rule.count):
        piece = &rule.pieces[at]
        if piece.text.at != NULL:
            put(arena, <const char*> piece.text.at, piece.text.size)
            continue
        first_of(cell, piece, fields)
        if cell.kind:
            found = True
            if put_value(arena, tree, cell, cell.at):
                return FALLBACK
    if found:
        end_text(arena, cell, offset, TEXT)
    else:
        cell.kind = 0
    return OK


cdef int map_text(Out* arena, Tree* tree, OutputCell* rule, Cell* cell) noexcept nogil:
    cdef Py_ssize_t offset, size
    cdef const unsigned char* text
    cdef int low = 0, high = rule.text_count, middle, order
    cdef Span* key
    if cell.kind == TEXT:
        text, size = bytes_of(cell, arena) + 4, cell.size - 5
    else:
        offset = arena.size
        if put_value(arena, tree, cell, cell.at):
            return FALLBACK
        text, size = <const unsigned char*> arena.bytes + offset, arena.size - offset
    while low < high:
        middle = (low + high) // 2
        key = &rule.texts[middle].key
        order = memcmp(text, key.at, size if size < key.size else key.size)
        if order == 0:
            if size == key.size:
                use_span(cell, &rule.texts[middle].text)
                return OK
            order = -1 if size < key.size else 1
        if order < 0:
            high = middle
        else:
            low = middle + 1
    if rule.default_text.at != NULL:
        use_span(cell, &rule.default_text)
    return OK


cdef bint is_one_line(const unsigned char* text, Py_ssize_t size) noexcept nogil:
    """Whether a text has no markup, no entity, and no spaces that would be reduced."""
    cdef Py_ssize_t at
    cdef unsigned char byte, before = 0x20
    for at in range(size):
        byte = text[at]
        if byte == 0x3C or byte == 0x26 or 0x09 <= byte <= 0x0D or (byte == 0x20 and before == 0x20):
            return False
        before = byte
    return before != 0x20 or size == 0


cdef int join_list(Out* arena, OutputCell* rule, Cell* cell) noexcept nogil:
    cdef const unsigned char* at = cell.at + 4
    cdef const unsigned char* end = cell.at + cell.size - 1
    cdef Py_ssize_t offset = begin_text(arena), length
    cdef unsigned char kind
    cdef bint first = True
    while at < end:
        kind = at[0]
        at += 1
        length = key_size(at, end)
        if length < 0:
            return FALLBACK
        at += length + 1
        length = size_of(kind, at, end)
        if length < 0 or kind == OBJECT or kind == LIST:
            return FALLBACK
        if not first:
            put(arena, <const char*> rule.join.at, rule.join.size)
        first = False
        if put_plain(arena, kind, at, length):
            return FALLBACK
        at += length
    end_text(arena, cell, offset, TEXT)
    return OK


cdef struct Digits:
    bint negative
    int exponent  # of the last digit
    int count
    char digits[80]


cdef bint digits_of(Cell* cell, const unsigned char* at, Digits* number, int* code) noexcept nogil:
    """The digits of a number, or of text that is one; False for other values."""
    cdef Decimal decimal
    cdef Shortest found
    cdef int64_t whole
    cdef uint64_t bits
    cdef double value
    cdef char buffer[20]
    cdef const unsigned char* end
    cdef int after
    code[0] = OK
    number.negative, number.exponent, number.count = False, 0, 0
    if cell.kind == INT32 or cell.kind == INT64:
        whole = int32_at(at) if cell.kind == INT32 else int64_at(at)
        number.negative = whole < 0
        number.count = digits_before(-<uint64_t> whole if whole < 0 else <uint64_t> whole, buffer + 20)
        memcpy(number.digits, buffer + 20 - number.count, number.count)
        return True
    if cell.kind == DOUBLE:
        value = double_at(at)
        if not isfinite(value):
            return False
        memcpy(&bits, &value, 8)
        number.negative = bits >> 63
        bits &= <uint64_t> 0x7FFFFFFFFFFFFFFF
        if bits:
            found = shortest(bits & ((<uint64_t> 1 << 52) - 1), <int> (bits >> 52))
            number.exponent = found.exponent
            while found.digits % 10 == 0:
                found.digits //= 10
                number.exponent += 1
            number.count = digits_before(found.digits, buffer + 20)
            memcpy(number.digits, buffer + 20 - number.count, number.count)
        else:
            number.digits[0], number.count = b"0", 1
        return True
    if cell.kind == DECIMAL:
        if not read_decimal(at, &decimal):
            code[0] = FALLBACK
            return False
        number.negative, number.exponent, number.count = decimal.negative, decimal.exponent, decimal.count
        memcpy(number.digits, decimal.digits + 39 - decimal.count, decimal.count)
        return True
    if cell.kind != TEXT or not 1 <= cell.size - 5 <= 32:
        return False
    end = at + cell.size - 1
    at += 4
    if at[0] == b"-":
        number.negative = True
        at += 1
    while at < end and 48 <= at[0] <= 57 and number.count < 16:
        number.digits[number.count] = at[0]
        number.count += 1
        at += 1
    if not 1 <= number.count <= 15:
        return False
    if at == end:
        return True
    if at[0] != b".":
        return False
    at += 1
    after = 0
    while at < end and 48 <= at[0] <= 57 and after < 16:
        number.digits[number.count] = at[0]
        number.count += 1
        after += 1
        at += 1
    number.exponent = -after
    return at == end and 1 <= after <= 15


cdef void round_half_up(Digits* number, int decimals) noexcept nogil:
    cdef int drop = -number.exponent - decimals, at
    cdef bint up
    if drop <= 0:
        return
    number.exponent = -decimals
    if drop > number.count:
        number.digits[0], number.count = b"0", 1
        return
    number.count -= drop
    up = number.digits[number.count] >= b"5"
    at = number.count
    while up and at > 0:
        at -= 1
        up = number.digits[at] == b"9"
        number.digits[at] = b"0" if up else number.digits[at] + 1
    if up:  # all digits were 9, or there are none left
        for at in range(number.count, 0, -1):
            number.digits[at] = number.digits[at - 1]
        number.digits[0] = b"1"
        number.count += 1
    elif number.count == 0:
        number.digits[0], number.count = b"0", 1


cdef int format_number(Out* arena, OutputCell* rule, Cell* cell) noexcept nogil:
    cdef Digits number
    cdef char whole[2 * MAX_POINT + 80]
    cdef char fraction[2 * MAX_POINT + 80]
    cdef int wholes = 0, fractions = 0, code, at, point
    cdef bint is_zero = True
    cdef Py_ssize_t offset
    if not digits_of(cell, bytes_of(cell, arena), &number, &code):
        return code
    if rule.decimals != NONE:
        round_half_up(&number, rule.decimals)
    if not -MAX_POINT <= number.exponent <= MAX_POINT:
        return FALLBACK
    point = number.count + number.exponent  # digits before the mark
    for at in range(number.count):
        is_zero = is_zero and number.digits[at] == b"0"
    for at in range(point):
        if at >= number.count or wholes or number.digits[at] != b"0":
            whole[wholes] = number.digits[at] if at < number.count else b"0"
            wholes += 1
    if wholes == 0 or is_zero:
        whole[0], wholes = b"0", 1
    for at in range(-number.exponent):
        fraction[fractions] = number.digits[point + at] if point + at >= 0 else b"0"
        fractions += 1
    if rule.decimals == NONE:
        at = fractions
        while at > 0 and fraction[at - 1] == b"0":
            at -= 1
        if at == 0:
            fractions = 0
    while fractions < rule.decimals:
        fraction[fractions] = b"0"
        fractions += 1
    offset = begin_text(arena)
    put(arena, <const char*> rule.prefix.at, rule.prefix.size)
    if number.negative and not is_zero:
        put_byte(arena, b"-")
    for at in range(wholes):
        if at and rule.thousands.size and (wholes - at) % 3 == 0:
            put(arena, <const char*> rule.thousands.at, rule.thousands.size)
        put_byte(arena, whole[at])
    if fractions:
        put(arena, <const char*> rule.decimal_mark.at, rule.decimal_mark.size)
        put(arena, fraction, fractions)
    put(arena, <const char*> rule.suffix.at, rule.suffix.size)
    end_text(arena, cell, offset, NUMBER_TEXT)
    return OK


cdef const char** MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
]
cdef const char** DAYS = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"]  # from 1970-01-01
cdef int* DAYS_BEFORE = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]


cdef int format_date(Out* arena, OutputCell* rule, Cell* cell) noexcept nogil:
    """A date in UTC; other time zones and dates written as text are left to the reference."""
    cdef const unsigned char* text = bytes_of(cell, arena)
    cdef Civil date
    cdef Py_ssize_t offset, at
    cdef unsigned char byte
    cdef unsigned int hour
    cdef const char* name
    if cell.kind == TEXT:
        return FALLBACK if cell.size - 5 >= 10 and 48 <= text[4] <= 57 else OK
    if cell.kind != DATE:
        return OK
    date = civil_of(int64_at(text))
    if not 1 <= date.year <= 9999:
        return OK
    if not rule.is_utc:
        return FALLBACK
    offset = begin_text(arena)
    hour = date.millis // 3600000
    at = 0
    while at < rule.date_pattern.size:
        byte = rule.date_pattern.at[at]
        at += 1
        if byte != b"%":
            put_byte(arena, byte)
            continue
        byte = rule.date_pattern.at[at]
        at += 1
        if byte == b"Y":
            put_padded(arena, <unsigned int> date.year, 4)
        elif byte == b"y":
            put_padded(arena, <unsigned int> (date.year % 100), 2)
        elif byte == b"m":
            put_padded(arena, date.month, 2)
        elif byte == b"d":
            put_padded(arena, date.day, 2)
        elif byte == b"H":
            put_padded(arena, hour, 2)
        elif byte == b"I":
            put_padded(arena, (hour + 11) % 12 + 1, 2)
        elif byte == b"M":
            put_padded(arena, date.millis // 60000 % 60, 2)
        elif byte == b"S":
            put_padded(arena, date.millis // 1000 % 60, 2)
        elif byte == b"j":
            put_padded(arena, DAYS_BEFORE[date.month - 1] + date.day + (date.month > 2 and is_leap(date.year)), 3)
        elif byte == b"B" or byte == b"b":
            name = MONTHS[date.month - 1]
            put(arena, name, strlen(name) if byte == b"B" else 3)
        elif byte == b"A" or byte == b"a":
            name = DAYS[date.days - 7 * floor_quotient(date.days, 7)]
            put(arena, name, strlen(name) if byte == b"A" else 3)
        elif byte == b"p":
            put(arena, b"AM" if hour < 12 else b"PM", 2)
        elif byte == b"z":
            put(arena, b"+0000", 5)
        else:  # %%
            put_byte(arena, byte)
    end_text(arena, cell, offset, TEXT)
    return OK


cdef inline bint is_leap(int64_t year) noexcept nogil:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


cdef int change_case(Out* arena, OutputCell* rule, Cell* cell) noexcept nogil:
    cdef Py_ssize_t size = cell.size - 5, at = 0, offset
    cdef const unsigned char* text
    cdef unsigned int character, changed
    cdef int length
    if cell.kind != TEXT:
        return OK
    if room(arena, 3 * size + 8) == NULL:  # so that the arena does not move while it is read
        return FALLBACK
    offset = begin_text(arena)
    text = bytes_of(cell, arena) + 4
    while at < size:
        if rule.case_ == CASE_CAPITALIZE and at:
            put(arena, <const char*> text + at, size - at)
            break
        character = text[at]
        if character < 0x80:
            length = 1
        elif character < 0xE0:
            length, character = 2, (character & 0x1F) << 6 | (text[at + 1] & 0x3F)
        elif character < 0xF0:
            length = 3
            character = (character & 0x0F) << 12 | (text[at + 1] & 0x3F) << 6 | (text[at + 2] & 0x3F)
        else:
            return FALLBACK
        if character < CASED:
            changed = LOWER_CASE[character] if rule.case_ == CASE_LOWER else UPPER_CASE[character]
            if changed == 0:
                return FALLBACK
        elif character <= 0x9FFF:  # Chinese, Japanese and the like have no case
            changed = character
        else:
            return FALLBACK
        if changed < 0x80:
            put_byte(arena, changed)
        elif changed < 0x800:
            put_byte(arena, 0xC0 | changed >> 6)
            put_byte(arena, 0x80 | (changed & 0x3F))
        else:
            put_byte(arena, 0xE0 | changed >> 12)
            put_byte(arena, 0x80 | (changed >> 6 & 0x3F))
            put_byte(arena, 0x80 | (changed & 0x3F))
        at += length
    end_text(arena, cell, offset, TEXT)
    return OK


cdef inline bint is_break(unsigned char byte) noexcept nogil:
    return byte == 0x20 or byte == 0x09 or byte == 0x0A or byte == 0x0D


cdef bint shorten(OutputCell* rule, Cell* cell, const unsigned char* text) noexcept nogil:
    """Cut a text after the last word that fits; returns whether it was too long."""
    cdef Py_ssize_t size = cell.size - 5, at = 0, end, characters = 0
    if size <= rule.max_length:
        return False
    while at < size:
        if not continues(text[at]):
            if characters == rule.max_length:
                break
            characters += 1
        at += 1
    if at == size:
        return False
    end = at
    while end > 0 and not is_break(text[end]):
        end -= 1
    while end > 0 and is_break(text[end - 1]):
        end -= 1
    cell.size = (end if end > 0 else at) + 5
    return True


cdef int apply_rules(Out* arena, Tree* tree, OutputCell* rule, Cell* cell) noexcept nogil:
    """Rewrite a value; a value that has become missing is not rewritten any more."""
    cdef const unsigned char* at
    if cell.kind == TEXT and not is_utf8(bytes_of(cell, arena) + 4, cell.size - 5):
        return FALLBACK
    if rule.has_texts:
        if map_text(arena, tree, rule, cell):
            return FALLBACK
    if rule.strip_html and cell.kind == TEXT:
        if not is_one_line(bytes_of(cell, arena) + 4, cell.size - 5):
            return FALLBACK
    if rule.join.at != NULL and cell.kind == LIST:
        if join_list(arena, rule, cell):
            return FALLBACK
    if is_missing(cell):
        return OK
    if rule.number:
        if format_number(arena, rule, cell):
            return FALLBACK
    if rule.date_pattern.at != NULL:
        if format_date(arena, rule, cell):
            return FALLBACK
    if rule.true_text.at != NULL and cell.kind == BOOL:
        at = bytes_of(cell, arena)
        use_span(cell, &rule.true_text if at[0] else &rule.false_text)
    if is_missing(cell):
        return OK
    if rule.case_ != CASE_NONE or rule.max_length != NONE:
        if into_text(arena, tree, cell):
            return FALLBACK
        if rule.case_ != CASE_NONE:
            if change_case(arena, rule, cell):
                return FALLBACK
        if rule.max_length != NONE and cell.kind == TEXT:
            rule.cut_now = shorten(rule, cell, bytes_of(cell, arena) + 4)
    return OK


cdef int make_cells(
    Out* arena, Tree* tree, OutputCell* rules, int count, Row* fields, Row* cells, Py_ssize_t* offsets, bint listing,
    bint* is_cut
) noexcept nogil:
    """The cells of a row from the fields of a document.

    While `listing`, documents with something to list are left to the reference. `is_cut`: whether texts were cut, which
    are counted once the row is written.
    """
    cdef OutputCell* rule
    cdef Cell cell
    cdef int at
    is_cut[0] = False
    arena.size = 0
    for at in range(count):
        rule = &rules[at]
        rule.cut_now = False
        cell.offset, cell.node = NONE, 0
        if rule.count == 0:
            cell.kind, cell.at, cell.size = rule.constant_kind, rule.constant.at, rule.constant.size
        elif rule.is_template:
            if put_template(arena, tree, rule, fields, &cell):
                return FALLBACK
        else:
            first_of(&cell, &rule.pieces[0], fields)
        if rule.has_rules and not is_missing(&cell):
            if apply_rules(arena, tree, rule, &cell):
                return FALLBACK
        if is_missing(&cell):
            cell.kind = 0
            if rule.if_missing != IF_MISSING_EMPTY:
                if listing or rule.if_missing == IF_MISSING_FAIL:
                    return FALLBACK
                rule.skipped += 1
                return SKIPPED
        is_cut[0] = is_cut[0] or rule.cut_now
        cells.kinds[at], cells.nodes[at], cells.values[at], cells.sizes[at] = cell.kind, cell.node, cell.at, cell.size
        offsets[at] = cell.offset
    if is_cut[0] and listing:
        return FALLBACK
    for at in range(count):
        if offsets[at] != NONE:
            cells.values[at] = <const unsigned char*> arena.bytes + offsets[at]
    return FALLBACK if arena.failed else OK
