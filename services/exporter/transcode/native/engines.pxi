# Writes a batch document by document without the GIL, and takes the GIL for those that the reference has to write.

@cython.internal
cdef class Engine:
    """Writes documents one after the other.

    `reference` takes a document's bytes and the number of its row, and returns it as written to the file.
    """

    cdef Tree tree
    cdef Out out
    cdef Out scratch
    cdef int root
    cdef object reference
    cdef bytes ending  # written after each document
    cdef const char* after
    cdef size_t after_size
    cdef KeyField* keys  # of the products, where rows are hashed
    cdef int key_count
    cdef object key_reference
    cdef list key_parts  # what the paths of `keys` point to
    cdef Out entries
    cdef Out ends

    def __cinit__(self):
        self.tree.seed = <unsigned int> int.from_bytes(os.urandom(4), "little")
        # Both buffers get memory from the start, so that an empty one is not a null pointer.
        if not make_tree(&self.tree) or room(&self.out, 1) == NULL or room(&self.scratch, 1) == NULL:
            raise MemoryError

    def __dealloc__(self):
        free_tree(&self.tree)
        free(self.out.bytes)
        free(self.scratch.bytes)
        self.forget_keys()
        free(self.entries.bytes)
        free(self.ends.bytes)

    def hash_rows(self, list paths not None, key_reference):
        """From now on, note the entry and the end of each row; `hashed` returns those of the last batch.

        Args:
            paths: of the fields of the key, each as a list of keys in UTF-8.
            key_reference: takes a document's bytes, and returns its key.
        """
        cdef int at, part
        self.forget_keys()
        self.key_reference, self.key_parts = key_reference, []
        self.keys = <KeyField*> calloc(len(paths), sizeof(KeyField))
        if self.keys == NULL or room(&self.entries, 1) == NULL or room(&self.ends, 1) == NULL:
            raise MemoryError
        self.key_count = <int> len(paths)
        for at, path in enumerate(paths):
            self.keys[at].depth, self.keys[at].is_id = <int> len(path), path[0] == b"id"
            self.keys[at].path = <Span*> calloc(len(path), sizeof(Span))
            if self.keys[at].path == NULL:
                raise MemoryError
            for part, key in enumerate(path):
                self.key_parts.append(key)
                self.keys[at].path[part].at = <const unsigned char*> PyBytes_AS_STRING(<bytes> key)
                self.keys[at].path[part].size = PyBytes_GET_SIZE(<bytes> key)

    def hashed(self):
        """The entries of the rows of the last batch, and where each row ends."""
        ends = array("q")
        ends.frombytes(PyBytes_FromStringAndSize(self.ends.bytes, self.ends.size))
        return PyBytes_FromStringAndSize(self.entries.bytes, self.entries.size), ends

    cdef void forget_keys(self) noexcept:
        cdef int at
        for at in range(self.key_count):
            free(self.keys[at].path)
        free(self.keys)
        self.keys, self.key_count = NULL, 0

    def encode(self, bytes batch not None, int64_t first=0):
        """A batch as written to the file; its rows are numbered from `first`.

        Raises:
            Exception: whatever the reference raises.
        """
        cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(batch)
        cdef const unsigned char* end = at + PyBytes_GET_SIZE(batch)
        cdef Py_ssize_t size
        cdef size_t begin
        cdef int64_t row = first
        cdef int code
        if self.tree.count >= MAX_NODES:
            free_tree(&self.tree)
            self.begin()
        self.out.size = self.entries.size = self.ends.size = 0
        with nogil:
            while at < end:
                size = document_size(at, end)
                if size < 0:
                    break
                begin = self.out.size
                code = self.write(at, size, row)
                at += size
                if code == OK:
                    row += 1
                    if self.keys != NULL and self.note_row(at - size, size, begin):
                        with gil:
                            self.note_by_reference(at - size, size, begin)
                    continue
                self.out.size = begin
                if code != SKIPPED:
                    with gil:
                        row += self.fall_back(batch, at - size, size, row, code)
                        if self.keys != NULL and self.out.size > begin:
                            self.note_by_reference(at - size, size, begin)
        if at < end:  # damaged: the reference raises the right error
            return self.reference(batch, first)
        if self.out.failed or self.scratch.failed or self.entries.failed or self.ends.failed:
            raise MemoryError
        return Encoded(PyBytes_FromStringAndSize(self.out.bytes, self.out.size), row - first)

    cdef int write(self, const unsigned char* at, Py_ssize_t size, int64_t row) noexcept nogil:
        """Write one document; returns OK, or why it was not written."""
        return FALLBACK

    cdef int note_row(self, const unsigned char* at, Py_ssize_t size, size_t begin) noexcept nogil:
        """Note the entry of the row that was just written; FALLBACK if the reference has to find its key."""
        cdef size_t entry = self.entries.size
        if room(&self.entries, RECORD_BYTES) == NULL:
            return OK
        self.entries.size += RECORD_BYTES
        if put_row_key(&self.entries, self.keys, self.key_count, at, size):
            self.entries.size = entry
            return FALLBACK
        self.seal(entry, begin)
        return OK

    cdef void seal(self, size_t entry, size_t begin) noexcept nogil:
        """Hash the key of an entry, and the row that begins there."""
        cdef const unsigned char* row = <const unsigned char*> self.out.bytes + begin
        cdef unsigned char* place = <unsigned char*> self.entries.bytes + entry
        cdef int64_t end = self.out.size
        if self.entries.failed or self.out.failed:
            return
        siphash(place + ENTRY_BYTES, self.entries.size - entry - ENTRY_BYTES, place)
        siphash(row, self.out.size - begin - self.after_size, place + HASH_BYTES)
        put(&self.ends, <const char*> &end, sizeof(end))

    cdef int note_by_reference(self, const unsigned char* at, Py_ssize_t size, size_t begin) except -1:
        cdef bytes key = self.key_reference(PyBytes_FromStringAndSize(<const char*> at, size))
        cdef size_t entry = self.entries.size
        cdef unsigned int length = <unsigned int> PyBytes_GET_SIZE(key)
        if room(&self.entries, ENTRY_BYTES) == NULL:
            raise MemoryError
        self.entries.size += RECORD_BYTES
        put(&self.entries, <const char*> &length, sizeof(length))
        put(&self.entries, PyBytes_AS_STRING(key), length)
        self.seal(entry, begin)
        return 0

    cdef int end_with(self, bytes ending) except -1:
        self.ending = ending
        self.after, self.after_size = PyBytes_AS_STRING(ending), PyBytes_GET_SIZE(ending)
        return 0

    cdef int begin(self) except -1:
        """Start with an empty tree."""
        if not make_tree(&self.tree):
            raise MemoryError
        return 0

    cdef int fall_back(self, bytes batch, const unsigned char* at, Py_ssize_t size, int64_t row, int code) except -1:
        """Let the reference write a document, and learn its keys; returns the number of rows."""
        document = PyBytes_FromStringAndSize(<const char*> at, size)
        try:
            text, rows = self.reference(document, row)
        except Exception:
            documents(batch)  # the reference decodes a whole batch before it writes any of it, so damage is reported first
            raise
        put(&self.out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        if code == UNKNOWN:
            self.learn(document)
        return rows

    cdef int learn(self, bytes document) except -1:
        return 0

    cdef int node_of(self, int above, str key):
        """The node of a key, created if necessary; NONE if that is impossible."""
        cdef bytes encoded = key.encode("utf-8", "surrogatepass")
        cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(encoded)
        cdef int size = <int> PyBytes_GET_SIZE(encoded), node = find_node(&self.tree, above, at, size)
        return add_node(&self.tree, above, at, size, at, size) if node == NONE else node
