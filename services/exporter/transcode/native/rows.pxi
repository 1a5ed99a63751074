# Documents as rows: every leaf in its column, whatever the order in the document.

cdef struct Row:
    int width
    unsigned char* kinds  # by column; 0: missing
    int* nodes
    const unsigned char** values
    Py_ssize_t* sizes
    SelectedField* fields


cdef int make_row(Row* row, int width) except -1:
    if width:
        row.kinds = <unsigned char*> calloc(width, 1)
        row.nodes = <int*> calloc(width, sizeof(int))
        row.values = <const unsigned char**> calloc(width, sizeof(char*))
        row.sizes = <Py_ssize_t*> calloc(width, sizeof(Py_ssize_t))
        if not (row.kinds and row.nodes and row.values and row.sizes):
            raise MemoryError
    row.width = width
    return 0


cdef void free_row(Row* row) noexcept:
    free(row.kinds)
    free(row.nodes)
    free(row.values)
    free(row.sizes)


cdef int fill(Tree* tree, Row* row, int node, const unsigned char* at, Py_ssize_t size, int depth) noexcept nogil:
    """Put every leaf of an object into its column."""
    cdef const unsigned char* end = at + size - 1
    cdef unsigned char kind
    cdef Py_ssize_t length
    cdef int last = NONE, code, column
    cdef Node* key
    cdef int64_t number
    if depth > MAX_DEPTH:
        return FALLBACK
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
        if key.met == number or (key.may_be_dbref and row.fields != NULL):
            return FALLBACK  # the leaves of a DBRef come in another order
        key.met = number
        at += key.length + 1
        length = size_of(kind, at, end)
        if length < 0:
            return FALLBACK
        if key.field != NONE:
            note_field(&row.fields[key.field], tree.document, kind, at, length)
        if kind == OBJECT and length > 5:
            if key.whole:
                return FALLBACK
            code = fill(tree, row, last, at, length, depth + 1)
            if code:
                return code
        else:
            column = key.column_of_empty if kind == OBJECT else key.column
            if column == UNDECIDED:
                return UNKNOWN
            if column == IGNORED or row.width == 0:
                if check(kind, at, length, depth + 1):
                    return FALLBACK
            else:
                row.kinds[column], row.nodes[column] = kind, last
                row.values[column], row.sizes[column] = at, length
        at += length
    return OK


cdef int fill_document(Tree* tree, Row* row, int* root, const unsigned char* at, Py_ssize_t size) noexcept nogil:
    """The same for a whole document, starting at the right root."""
    cdef int code = OK, trial
    for trial in range(2):
        if row.width:
            memset(row.kinds, 0, row.width)
        tree.document = tree.objects + 1
        code = fill(tree, row, root[0], at, size, 0)
        if code == OK and root[0] == OWN_ID and tree.nodes[OWN_ID_KEY].met != tree.document:
            code = OTHER_ROOT
        if code != OTHER_ROOT:
            return code
        root[0] = PLAIN if root[0] == OWN_ID else OWN_ID
    return FALLBACK
