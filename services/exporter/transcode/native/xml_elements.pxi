# The engines for XML: with all fields, or all except some; and with selected fields.

@cython.internal
cdef class XmlLabels:
    """Gives the nodes of a tree their opening tags."""

    cdef object prefixes
    cdef object cdata
    cdef dict names  # dotted names by node; None for a document

    def __init__(self, layout):
        self.prefixes, self.cdata = layout.prefixes, layout.cdata
        self.forget()

    cdef void forget(self):
        """Start with an empty tree."""
        self.names = {PLAIN: None, OWN_ID: None}

    cdef int give(self, Tree* tree, int above, int node, str key) except -1:
        """Give a node its tag, unless it has one."""
        cdef bytes label
        cdef char* moved
        if node in self.names:
            return 0
        if above == PLAIN and key == "_id":
            key = "id"
        prefix = self.names[above]
        name = escaped(key) if prefix is None else f"{prefix}.{escaped(key)}"
        label = f"<{element_name(key, self.prefixes)}>".encode()
        moved = <char*> realloc(tree.nodes[node].key, tree.nodes[node].length + 1 + len(label))
        if moved == NULL:
            raise MemoryError
        tree.nodes[node].key = moved
        memcpy(moved + tree.nodes[node].length + 1, PyBytes_AS_STRING(label), len(label))
        tree.nodes[node].label_length = <int> len(label)
        tree.nodes[node].cdata = tree.nodes[above].cdata or name in self.cdata
        self.names[node] = name
        return 0

    cdef int items(self, Tree* tree, int node) except -1:
        """The node above the keys of objects in lists at this node; NONE if there is no memory."""
        cdef int found = items_of(tree, node)
        if found != NONE:
            self.names[found] = self.names[node]
            tree.nodes[found].cdata = tree.nodes[node].cdata
        return found


cdef int learn_elements(Engine engine, XmlLabels labels, value, int node) except -1:
    """Add nodes for all keys in a value."""
    cdef int below
    inner = as_object(value)
    if inner is not None:
        for key, member in inner.items():
            below = engine.node_of(node, key)
            if below != NONE:
                learn_elements(engine, labels, member, below)
    elif isinstance(value, list) and any(as_object(item) is not None or isinstance(item, (list, dict)) for item in value):
        below = labels.items(&engine.tree, node)
        if below != NONE:
            for item in value:
                learn_elements(engine, labels, item, below)
    return 0


@cython.internal
cdef class XmlObjects(Objects):
    """Documents as elements, without the excluded fields."""

    cdef XmlLabels labels
    cdef XmlStyle style
    cdef bytes row

    def __init__(self, reference, tuple exclude, layout):
        self.labels = XmlLabels(layout)
        self.row = f"<{layout.row}>".encode()
        self.style.row, self.style.row_length = PyBytes_AS_STRING(self.row), <int> len(self.row)
        self.style.attributes = layout.attributes
        Objects.__init__(self, reference, exclude, NONE, b"\n", False)

    cdef int write(self, const unsigned char* at, Py_ssize_t size, int64_t row) noexcept nogil:
        cdef size_t begin = self.out.size
        cdef int code = FALLBACK, _
        cdef int64_t number
        for _ in range(2):
            number = self.tree.objects + 1
            code = put_xml(
                &self.out, &self.tree, &self.style, self.style.row, self.style.row_length, self.root, OBJECT, at, size, 0
            )
            if code == OK and self.root == OWN_ID and self.tree.nodes[OWN_ID_KEY].met < number:
                code = OTHER_ROOT
            if code != OTHER_ROOT:
                break
            self.out.size = begin
            self.root = PLAIN if self.root == OWN_ID else OWN_ID
        if code == OK:
            put(&self.out, self.after, self.after_size)
        return code

    cdef int begin(self) except -1:
        self.labels.forget()
        Objects.begin(self)
        self.node_of(PLAIN, "_id")
        self.node_of(OWN_ID, "id")
        return 0

    cdef int node_of(self, int above, str key):
        cdef int node = Objects.node_of(self, above, key)
        if node != NONE:
            self.labels.give(&self.tree, above, node, key)
        return node

    cdef int learn(self, bytes document) except -1:
        cdef dict decoded
        [decoded] = documents(document)
        self.root = OWN_ID if "id" in decoded else PLAIN
        learn_elements(self, self.labels, decoded, self.root)
        return 0


@cython.internal
cdef class SelectedXml(SelectedObjects):
    """Documents as elements of the selected fields."""

    cdef XmlLabels labels
    cdef XmlStyle style
    cdef bytes tag

    def __init__(self, names, reference, tuple fields, layout):
        self.labels = XmlLabels(layout)
        self.tag = f"<{layout.row}>".encode()
        self.style.row, self.style.row_length = PyBytes_AS_STRING(self.tag), <int> len(self.tag)
        self.style.attributes = layout.attributes
        SelectedObjects.__init__(self, names, reference, fields, NONE, b"\n", False)

    cdef int write(self, const unsigned char* at, Py_ssize_t size, int64_t row) noexcept nogil:
        cdef int code = fill_document(&self.tree, &self.row, &self.root, at, size)
        if code:
            return code
        # The first two fields stand for the two roots.
        code = put_selected_object(
            &self.out, &self.tree, &self.style, self.row.fields, &self.row.fields[self.root], self.style.row,
            self.style.row_length, 0
        )
        if code == OK:
            put(&self.out, self.after, self.after_size)
        return code

    cdef int begin(self) except -1:
        self.labels.forget()
        SelectedObjects.begin(self)
        self.node_of(PLAIN, "_id")
        self.node_of(OWN_ID, "id")
        return 0

    cdef int node_of(self, int above, str key):
        cdef int node = SelectedObjects.node_of(self, above, key)
        if node != NONE:
            self.labels.give(&self.tree, above, node, key)
        return node

    cdef int learn(self, bytes document) except -1:
        cdef dict decoded
        [decoded] = documents(document)
        SelectedObjects.learn(self, document)
        learn_elements(self, self.labels, decoded, OWN_ID if "id" in decoded else PLAIN)
        return 0


@cython.internal
cdef class FlatElements(Rows):
    """The columns of a request as the elements or attributes of a row."""

    cdef Span* labels  # the opening tags
    cdef bint* cdata
    cdef XmlStyle style
    cdef bytes row_label

    def __init__(self, rows, reference, selection, tally, columns, layout):
        cdef int at
        Rows.__init__(self, rows, reference, selection, tally)
        self.row_label = f"<{layout.row}>".encode()
        self.style.row, self.style.row_length = PyBytes_AS_STRING(self.row_label), <int> len(self.row_label)
        self.style.attributes = layout.attributes
        self.labels = <Span*> calloc(len(columns), sizeof(Span))
        self.cdata = <bint*> calloc(len(columns), sizeof(bint))
        if self.labels == NULL or self.cdata == NULL:
            raise MemoryError
        for at, header in enumerate(columns):
            self.labels[at] = self.span(f"<{element_name(header, layout.prefixes)}>".encode())
            self.cdata[at] = escaped(header) in layout.cdata

    def __dealloc__(self):
        free(self.labels)
        free(self.cdata)

    cdef int put_cells(self, int64_t row) noexcept nogil:
        cdef size_t begin
        cdef int at
        cdef Span* label
        cdef unsigned char kind
        put(&self.out, self.style.row, self.style.row_length - 1)
        if self.style.attributes:
            for at in range(self.shown_row.width):
                if not self.is_element(at):
                    label = &self.labels[at]
                    put_byte(&self.out, b" ")
                    put(&self.out, <const char*> label.at + 1, label.size - 2)
                    put(&self.out, b'="', 2)
                    kind = self.shown_row.kinds[at]
                    if self.put_text(kind, self.shown_row.values[at], self.shown_row.sizes[at], True):
                        return FALLBACK
                    put_byte(&self.out, b'"')
        put_byte(&self.out, b">")
        begin = self.out.size
        for at in range(self.shown_row.width):
            if self.is_element(at):
                kind = self.shown_row.kinds[at]
                if self.put_element(
                    &self.labels[at], kind, self.shown_row.values[at], self.shown_row.sizes[at], self.cdata[at]
                ):
                    return FALLBACK
        put_close(&self.out, self.style.row, self.style.row_length, begin)
        put_byte(&self.out, b"\n")
        return OK

    cdef inline bint is_element(self, int at) noexcept nogil:
        return not self.style.attributes or self.cdata[at] or self.shown_row.kinds[at] == LIST

    cdef int put_element(
        self, Span* label, unsigned char kind, const unsigned char* at, Py_ssize_t size, bint cdata
    ) noexcept nogil:
        cdef size_t begin
        put(&self.out, <const char*> label.at, label.size)
        begin = self.out.size
        if kind == LIST:
            if self.put_items(at, size, cdata):
                return FALLBACK
        elif kind == TEXT and cdata and size > 5:
            if not is_utf8(at + 4, size - 5):
                return FALLBACK
            put_cdata(&self.out, at + 4, size - 5)
        elif self.put_text(kind, at, size, False):
            return FALLBACK
        put_close(&self.out, <const char*> label.at, <int> label.size, begin)
        return OK

    cdef int put_items(self, const unsigned char* at, Py_ssize_t size, bint cdata) noexcept nogil:
        """Plain values; others are left to the reference."""
        cdef const unsigned char* end = at + size - 1
        cdef unsigned char kind
        cdef Py_ssize_t length
        cdef Span item
        item.at, item.size = <const unsigned char*> b"<item>", 6
        at += 4
        while at < end:
            kind = at[0]
            at += 1
            length = key_size(at, end)
            if length < 0:
                return FALLBACK
            at += length + 1
            length = size_of(kind, at, end)
            if length < 0 or kind == LIST or kind == OBJECT:
                return FALLBACK
            if self.put_element(&item, kind, at, length, cdata):
                return FALLBACK
            at += length
        return OK

    cdef int put_text(self, unsigned char kind, const unsigned char* at, Py_ssize_t size, bint attribute) noexcept nogil:
        if kind == 0:
            return OK
        if kind == OBJECT:
            return FALLBACK
        if kind == TEXT or kind == NUMBER_TEXT:
            if not is_utf8(at + 4, size - 5):
                return FALLBACK
            put_xml_text(&self.out, at + 4, size - 5, attribute)
            return OK
        return put_plain(&self.out, kind, at, size)
