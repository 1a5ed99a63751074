# Rows as lines of CSV: RFC 4180, optionally with formulas escaped.

cdef struct Dialect:
    unsigned char delimiter
    bint escape  # put ' before text that a spreadsheet would take for a formula


cdef inline bint is_formula(unsigned char first) noexcept nogil:
    return (
        first == 0x3D or first == 0x2B or first == 0x2D or first == 0x40 or first == 0x09 or first == 0x0D
    )  # = + - @ tab CR


cdef void put_field(Out* out, const unsigned char* text, size_t size, Dialect* dialect) noexcept nogil:
    """Text as a field, quoted if RFC 4180 requires it."""
    cdef bint escaped = dialect.escape and size > 0 and is_formula(text[0])
    cdef const unsigned char* quote
    if not needs_quotes(text, size, dialect.delimiter):
        if escaped:
            put_byte(out, b"'")
        put(out, <const char*> text, size)
        return
    put_byte(out, b'"')
    if escaped:
        put_byte(out, b"'")
    while True:
        quote = <const unsigned char*> memchr(text, 0x22, size)
        if quote == NULL:
            break
        put(out, <const char*> text, quote - text + 1)
        put_byte(out, b'"')
        size -= quote - text + 1
        text = quote + 1
    put(out, <const char*> text, size)
    put_byte(out, b'"')


cdef int put_line(Out* out, Out* scratch, Tree* tree, Row* row, Dialect* dialect) noexcept nogil:
    """A row as a line of CSV."""
    cdef int column
    cdef unsigned char kind
    cdef size_t begin = out.size
    cdef const unsigned char* at
    cdef Dialect plain = dialect[0]
    plain.escape = False
    for column in range(row.width):
        if column:
            put_byte(out, dialect.delimiter)
        kind = row.kinds[column]
        if kind == 0:
            continue
        at = row.values[column]
        if kind == TEXT:
            if not is_utf8(at + 4, row.sizes[column] - 5):
                return FALLBACK
            put_field(out, at + 4, row.sizes[column] - 5, dialect)
        elif kind == NUMBER_TEXT:
            put_field(out, at + 4, row.sizes[column] - 5, &plain)
        elif kind == OBJECT:  # an empty one
            put(out, b"{}", 2)
        elif kind == LIST or kind == BINARY:
            scratch.size = 0
            if kind == LIST:
                if put_list(scratch, tree, row.nodes[column], at, row.sizes[column]):
                    return FALLBACK
            elif put_plain(scratch, kind, at, row.sizes[column]):
                return FALLBACK
            put_field(out, <const unsigned char*> scratch.bytes, scratch.size, dialect)
        elif put_plain(out, kind, at, row.sizes[column]):
            return FALLBACK
    if row.width == 1 and out.size == begin:
        put(out, b'""', 2)  # otherwise the row would be a blank line
    put(out, b"\r\n", 2)
    return OK
