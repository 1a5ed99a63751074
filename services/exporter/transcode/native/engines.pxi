# What a batch is put through: document after document without the GIL, and those for the reference with it.

@cython.internal
cdef class Engine:
    """Writes documents one after the other.

    `slowly` is the reference: a document's bytes and the number of its row in, what is written of it out.
    """

    cdef Tree tree
    cdef Out out
    cdef Out scratch
    cdef int root
    cdef object slowly
    cdef bytes ending  # after each document
    cdef const char* after
    cdef size_t after_size

    def __cinit__(self):
        self.tree.seed = <unsigned int> int.from_bytes(os.urandom(4), "little")
        # Both buffers have a place from the start, so that nothing written to one is no null pointer.
        if not began(&self.tree) or room(&self.out, 1) == NULL or room(&self.scratch, 1) == NULL:
            raise MemoryError

    def __dealloc__(self):
        ended(&self.tree)
        free(self.out.bytes)
        free(self.scratch.bytes)

    def encode(self, bytes batch not None, int64_t first=0):
        """A batch as it stands in the file; its rows are numbered from `first`.

        Raises:
            Whatever the reference does.
        """
        cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(batch)
        cdef const unsigned char* end = at + PyBytes_GET_SIZE(batch)
        cdef Py_ssize_t size
        cdef size_t begin
        cdef int64_t row = first
        cdef int code
        if self.tree.count >= MOST_NODES:
            ended(&self.tree)
            self.begin()
        self.out.size = 0
        with nogil:
            while at < end:
                size = document_size(at, end)
                if size < 0:
                    break
                begin = self.out.size
                code = self.write(at, size, row)
                if code:
                    self.out.size = begin
                    with gil:
                        self.hand_over(batch, at, size, row, code)
                at += size
                row += 1
        if at < end:  # damaged: the reference says how
            return self.slowly(batch, first)
        if self.out.failed or self.scratch.failed:
            raise MemoryError
        return Encoded(PyBytes_FromStringAndSize(self.out.bytes, self.out.size), row - first)

    cdef int write(self, const unsigned char* at, Py_ssize_t size, int64_t row) noexcept nogil:
        """Write one document, or say why not."""
        return ODD

    cdef int end_with(self, bytes ending) except -1:
        self.ending = ending
        self.after, self.after_size = PyBytes_AS_STRING(ending), PyBytes_GET_SIZE(ending)
        return 0

    cdef int begin(self) except -1:
        """Begin with a tree that knows nothing."""
        if not began(&self.tree):
            raise MemoryError
        return 0

    cdef int hand_over(self, bytes batch, const unsigned char* at, Py_ssize_t size, int64_t row, int code) except -1:
        """Have the reference write a document, and learn from it."""
        document = PyBytes_FromStringAndSize(<const char*> at, size)
        try:
            text, _ = self.slowly(document, row)
        except Exception:
            documents(batch)  # the reference decodes a batch before it writes any of it, so damage comes first
            raise
        put(&self.out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        if code == UNKNOWN:
            self.learn(document)
        return 0

    cdef int learn(self, bytes document) except -1:
        return 0

    cdef int plant(self, int above, str key):
        """The node of a key, new or old; NONE when there can be none."""
        cdef bytes encoded = key.encode("utf-8", "surrogatepass")
        cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(encoded)
        cdef int size = <int> PyBytes_GET_SIZE(encoded), node = found(&self.tree, above, at, size)
        return added(&self.tree, above, at, size, at, size) if node == NONE else node


@cython.internal
cdef class Leaves(Engine):
    """Assigns leaves to columns, as `names` decides; by itself it writes nothing."""

    cdef object names
    cdef Row row

    def __init__(self, names, slowly, int width=0):
        self.names, self.slowly = names, slowly
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
        """Take over what `names` has decided on the keys of an object."""
        cdef int key
        for name, value in decoded.items():
            below, key = node.below[name], self.plant(at, name)
            if key == NONE:
                continue
            self.tree.nodes[key].column = below.column
            inner = as_object(value)
            if inner is not None:
                self.copy(dict(inner), below, key)
        return 0


@cython.internal
cdef class Lines(Leaves):
    """Documents as lines of CSV."""

    cdef Dialect dialect

    def __init__(self, names, slowly, int width, int delimiter, bint escape):
        Leaves.__init__(self, names, slowly, width)
        self.dialect.delimiter, self.dialect.escape = delimiter, escape

    cdef int write(self, const unsigned char* at, Py_ssize_t size, int64_t row) noexcept nogil:
        cdef int code = fill_document(&self.tree, &self.row, &self.root, at, size)
        return code if code else put_line(&self.out, &self.scratch, &self.tree, &self.row, &self.dialect)


@cython.internal
cdef class XmlRows(Leaves):
    """Documents as rows of a worksheet."""

    cdef char* letters
    cdef int* sizes
    cdef int style

    def __init__(self, names, slowly, int width, int date_style):
        cdef bytes beginning
        cdef int column
        Leaves.__init__(self, names, slowly, width)
        self.style = date_style
        self.letters = <char*> calloc(width + 1, LETTERS_ROOM)
        self.sizes = <int*> calloc(width + 1, sizeof(int))
        if self.letters == NULL or self.sizes == NULL:
            raise MemoryError
        for column in range(width):
            beginning = f'<c r="{column_letters(column + 1)}'.encode()
            self.sizes[column] = <int> len(beginning)
            memcpy(self.letters + LETTERS_ROOM * column, PyBytes_AS_STRING(beginning), len(beginning))

    def __dealloc__(self):
        free(self.letters)
        free(self.sizes)

    cdef int write(self, const unsigned char* at, Py_ssize_t size, int64_t row) noexcept nogil:
        cdef int code = fill_document(&self.tree, &self.row, &self.root, at, size)
        if code:
            return code
        return put_xml_row(
            &self.out, &self.scratch, &self.tree, &self.row, self.letters, self.sizes, row, self.style
        )


@cython.internal
cdef class Objects(Engine):
    """Documents as JSON objects, without what is excluded."""

    cdef tuple exclude
    cdef int indent

    def __init__(self, slowly, tuple exclude, int indent, bytes ending):
        self.slowly, self.exclude, self.indent = slowly, exclude, indent
        self.end_with(ending)
        ended(&self.tree)
        self.tree.pretty = indent != NONE
        self.begin()

    cdef int write(self, const unsigned char* at, Py_ssize_t size, int64_t row) noexcept nogil:
        cdef size_t begin = self.out.size
        cdef int code = ODD, _
        cdef int64_t number
        for _ in range(2):
            number = self.tree.objects + 1
            code = put_json_object(&self.out, &self.tree, self.root, at, size, 0, self.indent)
            if code == FINE and self.root == OWN_ID and self.tree.nodes[OWN_ID_KEY].met != number:
                code = OTHER_ROOT
            if code != OTHER_ROOT:
                break
            self.out.size = begin
            self.root = PLAIN if self.root == OWN_ID else OWN_ID
        if code == FINE:
            put(&self.out, self.after, self.after_size)
        return code

    cdef int begin(self) except -1:
        Engine.begin(self)
        for name in self.exclude:
            keys = parts(name)
            if ".".join(map(escaped, keys)) != name:  # the name of no field
                continue
            self.leave_out(OWN_ID, keys)
            if keys[0] != "_id":
                self.leave_out(PLAIN, ["_id", *keys[1:]] if keys[0] == "id" else keys)
        return 0

    cdef int leave_out(self, int node, list keys) except -1:
        """Mark what is at a path, and what is above it: that may come out empty."""
        for key in keys:
            if node not in (PLAIN, OWN_ID):
                self.tree.nodes[node].above_excluded = True
            node = self.plant(node, key)
            if node == NONE:
                return 0
        self.tree.nodes[node].excluded = True
        return 0
