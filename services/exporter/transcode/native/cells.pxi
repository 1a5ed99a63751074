# Cells of a worksheet as XML; the rules are those of sheet_xml.py.

cdef enum:
    LETTERS_ROOM = 12  # bytes for `<c r="XFD`
    MAX_TEXT = 32767  # UTF-16 code units in a cell
    FIRST_SERIAL = 61  # 1900-03-01: before that, spreadsheets count a 29 February 1900, which did not exist
    EPOCH_SERIAL = 25569  # 1970-01-01
    MAX_SHOWN = 60  # characters of a cell that count for the width of its column
    BOOL_SHOWN = 5
    DATE_SHOWN = 19
    STYLED_COLUMNS = 16000  # the columns after these share one pair of styles
    HAS_MILLIS = 1  # what a column holds; see sheet_xml.py
    HAS_MONEY = 2
    HAS_OTHERS = 4

cdef int64_t MAX_INTEGER = 1000000000000000  # 15 digits are less
cdef int64_t LAST_MILLIS = 253402300799999  # the end of 9999
cdef double SMALLEST = 2.3e-308
cdef double MAX_MONEY = 1e15


cdef inline int forbidden(const unsigned char* text, const unsigned char* end) noexcept nogil:
    """Bytes of the character at `text` if XML forbids it or a parser would change it, else 0."""
    if text[0] < 0x20:
        return 0 if text[0] == 0x09 or text[0] == 0x0A else 1
    return 3 if text[0] == 0xEF and end - text >= 3 and text[1] == 0xBF and text[2] >= 0xBE else 0


cdef inline bint is_hex(unsigned char byte) noexcept nogil:
    return 0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x46 or 0x61 <= byte <= 0x66


cdef bint looks_escaped(const unsigned char* text, const unsigned char* end) noexcept nogil:
    """Whether the `_` at `text` begins what looks like an escape, even if its last `_` begins the next escape."""
    if end - text < 7 or text[1] != 0x78:
        return False
    if not (is_hex(text[2]) and is_hex(text[3]) and is_hex(text[4]) and is_hex(text[5])):
        return False
    return text[6] == 0x5F or forbidden(text + 6, end) > 0


cdef void put_escape(Out* out, unsigned int character) noexcept nogil:
    cdef char* place = room(out, 7)
    cdef const char* digits = b"0123456789ABCDEF"
    if place == NULL:
        return
    place[0], place[1], place[6] = b"_", b"x", b"_"
    place[2], place[3] = digits[character >> 12], digits[(character >> 8) & 15]
    place[4], place[5] = digits[(character >> 4) & 15], digits[character & 15]
    out.size += 7


cdef void put_markup(Out* out, const unsigned char* text, size_t size) noexcept nogil:
    """Valid text, with markup and characters that XML forbids escaped."""
    cdef const unsigned char* end = text + size
    cdef const unsigned char* begin = text
    cdef int odd
    while text < end:
        odd = forbidden(text, end)
        if not odd and text[0] != 0x26 and text[0] != 0x3C and text[0] != 0x3E:
            if text[0] != 0x5F or not looks_escaped(text, end):
                text += 1
                continue
        put(out, <const char*> begin, text - begin)
        if odd:
            put_escape(out, text[0] if odd == 1 else 0xFF00 | (text[2] | 0x40))
        elif text[0] == 0x26:
            put(out, b"&amp;", 5)
        elif text[0] == 0x3C:
            put(out, b"&lt;", 4)
        elif text[0] == 0x3E:
            put(out, b"&gt;", 4)
        else:
            put(out, b"_x005F_", 7)
        text += odd if odd else 1
        begin = text
    put(out, <const char*> begin, end - begin)


cdef inline void note_width(int* longest, Py_ssize_t characters) noexcept nogil:
    """Take a cell with this many characters into account for the width of its column."""
    if characters > longest[0]:
        longest[0] = <int> characters if characters < MAX_SHOWN else MAX_SHOWN


cdef void note_text_width(int* longest, const unsigned char* text, Py_ssize_t size) noexcept nogil:
    """The same for valid UTF-8; counts characters, not bytes."""
    cdef Py_ssize_t at, characters = 0
    if size <= longest[0] or longest[0] == MAX_SHOWN:
        return
    for at in range(size):
        characters += not continues(text[at])
        if characters == MAX_SHOWN:
            break
    note_width(longest, characters)


cdef int put_text_cell(Out* out, const unsigned char* text, size_t size, int* longest) noexcept nogil:
    """The rest of a cell of valid text; EMPTY without text; FALLBACK if it may be too long for a cell."""
    if size == 0:
        return EMPTY
    if size > MAX_TEXT:
        return FALLBACK
    note_text_width(longest, text, size)
    if has_blanks(text, size) or has_blank_ends(text, size):
        put(out, b' t="inlineStr"><is><t xml:space="preserve">', 43)
    else:
        put(out, b' t="inlineStr"><is><t>', 22)
    if needs_markup(text, size):
        put_markup(out, text, size)
    else:
        put(out, <const char*> text, size)
    put(out, b"</t></is></c>", 13)
    return OK


cdef void put_number_cell(Out* out, double number, int* longest) noexcept nogil:
    cdef size_t begin
    put(out, b"><v>", 4)
    begin = out.size
    put_double(out, number)
    note_width(longest, out.size - begin)
    put(out, b"</v></c>", 8)


cdef bint is_money(Decimal* decimal, double number) noexcept nogil:
    """Whether two decimals show all digits of the number, and a column has room for it."""
    cdef int last = 39, exponent = decimal.exponent
    while last > 39 - decimal.count and decimal.digits[last - 1] == b"0":
        last -= 1
        exponent += 1
    return (exponent >= -2 or number == 0) and fabs(number) < MAX_MONEY


cdef inline void put_style(Out* out, int style) noexcept nogil:
    put(out, b' s="', 4)
    put_integer(out, style)
    put_byte(out, b'"')


cdef void put_date_cell(Out* out, int64_t millis, int style) noexcept nogil:
    cdef int64_t past = millis + <int64_t> EPOCH_SERIAL * DAY_MILLIS, days, rest
    days = floor_quotient(past, DAY_MILLIS)
    rest = past - days * DAY_MILLIS
    put_style(out, style)
    put(out, b"><v>", 4)
    # The same operations in the same order as in sheet_xml.py, so that the results are rounded in the same way.
    put_double(out, <double> days + (<double> (rest // 1000) + <double> (rest % 1000 * 1000) / 1e6) / 86400.0)
    put(out, b"</v></c>", 8)


cdef int put_cell(
    Out* out, Out* scratch, Tree* tree, int node, unsigned char kind, const unsigned char* at, Py_ssize_t size, int style,
    int* longest, int* content
) noexcept nogil:
    """The rest of a cell: a number, boolean or date if Excel can hold the exact value, else text.

    `style` is that of dates; the next one is that of decimals. `content` receives what the cell holds.
    """
    cdef size_t begin
    cdef int64_t whole
    cdef double number
    cdef Decimal decimal
    content[0] = HAS_OTHERS
    if kind == TEXT or kind == NUMBER_TEXT:
        return put_text_cell(out, at + 4, size - 5, longest) if is_utf8(at + 4, size - 5) else FALLBACK
    if kind == BOOL:
        put(out, b' t="b"><v>', 10)
        put_byte(out, 48 + at[0])
        put(out, b"</v></c>", 8)
        note_width(longest, BOOL_SHOWN)
        return OK
    if kind == INT32 or kind == INT64:
        whole = int32_at(at) if kind == INT32 else int64_at(at)
        if -MAX_INTEGER < whole < MAX_INTEGER:
            put(out, b"><v>", 4)
            begin = out.size
            put_integer(out, whole)
            note_width(longest, out.size - begin)
            put(out, b"</v></c>", 8)
            return OK
    elif kind == DOUBLE:
        number = double_at(at)
        if isfinite(number) and (number == 0 or fabs(number) >= SMALLEST):
            put_number_cell(out, number, longest)
            return OK
    elif kind == DECIMAL:
        if not read_decimal(at, &decimal) or not nearest_double(&decimal, &number):
            return FALLBACK
        if is_money(&decimal, number):
            content[0] = HAS_MONEY
        put_style(out, style + 1)
        put_number_cell(out, number, longest)
        return OK
    elif kind == DATE:
        whole = int64_at(at)
        if <int64_t> (FIRST_SERIAL - EPOCH_SERIAL) * DAY_MILLIS <= whole <= LAST_MILLIS:
            if whole % 1000:
                content[0] |= HAS_MILLIS
            put_date_cell(out, whole, style)
            note_width(longest, DATE_SHOWN)
            return OK
    scratch.size = 0
    if kind == OBJECT:  # an empty one
        put(scratch, b"{}", 2)
    elif kind == LIST:
        if put_list(scratch, tree, node, at, size):
            return FALLBACK
    elif put_plain(scratch, kind, at, size):
        return FALLBACK
    return put_text_cell(out, <const unsigned char*> scratch.bytes, scratch.size, longest)


cdef int put_xml_row(
    Out* out, Out* scratch, Tree* tree, Row* row, const char* letters, const int* sizes, int* longest, int* contents,
    int64_t number, int style
) noexcept nogil:
    """A row as XML; null, missing values and empty text have no cell."""
    cdef char digits[20]
    cdef int count = digits_before(number, digits + 20), column, content, code
    cdef size_t begin
    cdef unsigned char kind
    put(out, b'<row r="', 8)
    put(out, digits + 20 - count, count)
    put(out, b'">', 2)
    for column in range(row.width):
        kind = row.kinds[column]
        if kind == 0 or kind == NULL_VALUE or kind == UNDEFINED:
            continue
        begin = out.size
        put(out, letters + LETTERS_ROOM * column, sizes[column])
        put(out, digits + 20 - count, count)
        put_byte(out, b'"')
        code = put_cell(
            out, scratch, tree, row.nodes[column], kind, row.values[column], row.sizes[column],
            style + 2 * (column if column < STYLED_COLUMNS else STYLED_COLUMNS), &longest[column], &content
        )
        if code == EMPTY:
            out.size = begin
        elif code:
            return FALLBACK
        else:
            contents[column] |= content
    put(out, b"</row>", 6)
    return OK
