# Documents as rows: every leaf at its column, in whatever order the document has it.

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
        if key.met == number or (key.reference and row.wishes != NULL):
            return ODD  # a DBRef has the leaves of its object, but not its order
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
