# The engines of flat formats: discovery of columns, lines of CSV, rows of a worksheet.

@cython.internal
cdef class Leaves(Engine):
    """Assigns leaves to columns as `names` decides; writes nothing itself."""

    cdef object names
    cdef Row row

    def __init__(self, names, reference, int width=0):
        self.names, self.reference = names, reference
        if width:
            self.row.kinds = <unsigned char*> calloc(width, 1)
            self.row.nodes = <int*> calloc(width, sizeof(int))
            self.row.values = <const unsigned char**> calloc(width, sizeof(char*))
            self.row.sizes = <Py_ssize_t*> calloc(width, sizeof(Py_ssize_t))
            if not (self.row.kinds and self.row.nodes and self.row.values and self.row.sizes):
                raise MemoryError
        self.row.width = width

    def __dealloc__(self):
        free(self.row.kinds)
        free(self.row.nodes)
        free(self.row.values)
        free(self.row.sizes)

    cdef int write(self, const unsigned char* at, Py_ssize_t size, int64_t row) noexcept nogil:
        return fill_document(&self.tree, &self.row, &self.root, at, size)

    cdef int learn(self, bytes document) except -1:
        cdef dict decoded
        [decoded] = documents(document)
        self.copy(decoded, self.names.root(decoded), OWN_ID if "id" in decoded else PLAIN)
        return 0

    cdef int copy(self, dict decoded, node, int at) except -1:
        """Copy the decisions of `names` about the keys of an object."""
        cdef int key
        for name, value in decoded.items():
            below, key = node.below[name], self.node_of(at, name)
            if key == NONE:
                continue
            self.tree.nodes[key].column = below.column
            self.tree.nodes[key].column_of_empty = below.column_of_empty
            inner = as_object(value)
            if inner is not None:
                self.copy(dict(inner), below, key)
        return 0


@cython.internal
cdef class Lines(Leaves):
    """Documents as lines of CSV."""

    cdef Dialect dialect

    def __init__(self, names, reference, int width, int delimiter, bint escape):
        Leaves.__init__(self, names, reference, width)
        self.dialect.delimiter, self.dialect.escape = delimiter, escape

    cdef int write(self, const unsigned char* at, Py_ssize_t size, int64_t row) noexcept nogil:
        cdef int code = fill_document(&self.tree, &self.row, &self.root, at, size)
        return code if code else put_line(&self.out, &self.scratch, &self.tree, &self.row, &self.dialect)


@cython.internal
cdef class XmlRows(Leaves):
    """Documents as rows of a worksheet."""

    cdef char* letters
    cdef int* sizes
    cdef int* longest  # characters of the longest cell, by column
    cdef int* contents  # what the column holds
    cdef int style

    def __init__(self, names, reference, int width, int first_style):
        cdef bytes beginning
        cdef int column
        Leaves.__init__(self, names, reference, width)
        self.style = first_style
        self.letters = <char*> calloc(width + 1, LETTERS_ROOM)
        self.sizes = <int*> calloc(width + 1, sizeof(int))
        self.longest = <int*> calloc(width + 1, sizeof(int))
        self.contents = <int*> calloc(width + 1, sizeof(int))
        if not (self.letters and self.sizes and self.longest and self.contents):
            raise MemoryError
        for column in range(width):
            beginning = f'<c r="{column_letters(column + 1)}'.encode()
            self.sizes[column] = <int> len(beginning)
            memcpy(self.letters + LETTERS_ROOM * column, PyBytes_AS_STRING(beginning), len(beginning))

    def __dealloc__(self):
        free(self.letters)
        free(self.sizes)
        free(self.longest)
        free(self.contents)

    def held(self):
        """What each column holds."""
        cdef int column
        return [self.contents[column] for column in range(self.row.width)]

    def shown(self):
        """Characters of the longest cell of each column."""
        cdef int column
        return [self.longest[column] for column in range(self.row.width)]

    cdef int write(self, const unsigned char* at, Py_ssize_t size, int64_t row) noexcept nogil:
        cdef int code = fill_document(&self.tree, &self.row, &self.root, at, size)
        if code:
            return code
        return put_xml_row(
            &self.out, &self.scratch, &self.tree, &self.row, self.letters, self.sizes, self.longest, self.contents, row,
            self.style
        )
