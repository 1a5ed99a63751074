# Documents as rows: every leaf at its column, in whatever order the document has it; then cell after cell.

cdef struct Row:
    int width
    unsigned char* kinds  # by column; 0: missing
    int* nodes
    const unsigned char** values
    Py_ssize_t* sizes
    Wish* wishes


cdef int fill(Tree* tree, Row* row, int node, const unsigned char* at, Py_ssize_t size, int depth) noexcept nogil:
    """Put every leaf of an object at its column."""
    cdef const unsigned char* end = at + size - 1
    cdef unsigned char kind
    cdef Py_ssize_t length
    cdef int last = NONE, code, column
    cdef Node* key
    cdef int64_t number
    if depth > DEEPEST:
        return ODD
    tree.objects += 1
    number = tree.objects
    at += 4
    while at < end:
        kind = at[0]
        at += 1
        last = next_key(tree, node, last, at, end)
        if last == NONE:
            return UNKNOWN
        key = &tree.nodes[last]
        if key.own_id:
            return OTHER_ROOT
        if key.met == number or key.reference:
            return ODD
        key.met = number
        at += key.length + 1
        length = size_of(kind, at, end)
        if length < 0:
            return ODD
        if key.wish != NONE:
            note_wish(&row.wishes[key.wish], tree.document, kind, at, length)
        if kind == OBJECT and length > 5:
            code = fill(tree, row, last, at, length, depth + 1)
            if code:
                return code
        else:
            column = key.column
            if column == UNDECIDED:
                return UNKNOWN
            if column == IGNORED or row.width == 0:
                if check(kind, at, length, depth + 1):
                    return ODD
            else:
                row.kinds[column], row.nodes[column] = kind, last
                row.values[column], row.sizes[column] = at, length
        at += length
    return FINE


cdef int fill_document(Tree* tree, Row* row, int* root, const unsigned char* at, Py_ssize_t size) noexcept nogil:
    """The same for a whole document, under the root it turns out to belong to."""
    cdef int code = FINE, trial
    for trial in range(2):
        if row.width:
            memset(row.kinds, 0, row.width)
        tree.document = tree.objects + 1
        code = fill(tree, row, root[0], at, size, 0)
        if code == FINE and root[0] == OWN_ID and tree.nodes[OWN_ID_KEY].met != tree.document:
            code = OTHER_ROOT
        if code != OTHER_ROOT:
            return code
        root[0] = PLAIN if root[0] == OWN_ID else OWN_ID
    return ODD


# CSV


cdef struct Dialect:
    unsigned char delimiter
    bint escape  # put ' before what a spreadsheet would take for a formula


cdef inline bint is_formula(unsigned char first) noexcept nogil:
    return (
        first == 0x3D or first == 0x2B or first == 0x2D or first == 0x40 or first == 0x09 or first == 0x0D
    )  # = + - @ tab CR


cdef void put_field(Out* out, const unsigned char* text, size_t size, Dialect* dialect) noexcept nogil:
    """Text as a field, quoted where RFC 4180 asks for it."""
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
    for column in range(row.width):
        if column:
            put_byte(out, dialect.delimiter)
        kind = row.kinds[column]
        if kind == 0:
            continue
        at = row.values[column]
        if kind == TEXT:
            if not is_utf8(at + 4, row.sizes[column] - 5):
                return ODD
            put_field(out, at + 4, row.sizes[column] - 5, dialect)
        elif kind == OBJECT:  # an empty one
            put(out, b"{}", 2)
        elif kind == LIST or kind == BINARY:
            scratch.size = 0
            if kind == LIST:
                if put_list(scratch, tree, row.nodes[column], at, row.sizes[column]):
                    return ODD
            elif put_plain(scratch, kind, at, row.sizes[column]):
                return ODD
            put_field(out, <const unsigned char*> scratch.bytes, scratch.size, dialect)
        elif put_plain(out, kind, at, row.sizes[column]):
            return ODD
    if row.width == 1 and out.size == begin:
        put(out, b'""', 2)  # no row is a blank line
    put(out, b"\r\n", 2)
    return FINE
