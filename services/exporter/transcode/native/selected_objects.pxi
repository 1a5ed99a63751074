# The engine for JSON of selected fields, and the plan it follows.

@cython.internal
cdef class SelectedObjects(Leaves):
    """Documents as JSON objects of the selected fields."""

    cdef tuple fields
    cdef int indent
    cdef int field_count

    def __init__(self, names, reference, tuple fields, int indent, bytes ending, bint quote_decimals):
        Leaves.__init__(self, names, reference)
        self.fields, self.indent = fields, indent
        self.end_with(ending)
        self.tree.pretty = indent != NONE
        self.tree.quote_decimals = quote_decimals
        free_tree(&self.tree)
        self.begin()

    def __dealloc__(self):
        self.forget()

    cdef int write(self, const unsigned char* at, Py_ssize_t size, int64_t row) noexcept nogil:
        cdef int code = fill_document(&self.tree, &self.row, &self.root, at, size)
        if code:
            return code
        # The first two fields stand for the two roots.
        if put_selected_fields(&self.out, &self.tree, self.row.fields, &self.row.fields[self.root], 0, self.indent):
            return FALLBACK
        put(&self.out, self.after, self.after_size)
        return OK

    cdef int begin(self) except -1:
        cdef int at, step, node
        Engine.begin(self)
        plan = [Plan(PLAIN), Plan(OWN_ID)]
        for name in self.fields:
            keys = parts(name)
            self.add_path(plan, plan[OWN_ID], keys)
            if keys[0] != "_id":
                self.add_path(plan, plan[PLAIN], ["_id", *keys[1:]] if keys[0] == "id" else keys)
        self.forget()
        self.row.fields = <SelectedField*> calloc(len(plan), sizeof(SelectedField))
        if self.row.fields == NULL:
            raise MemoryError
        self.field_count = <int> len(plan)
        for at in range(self.field_count):
            planned = plan[at]
            self.row.fields[at].node = node = planned.node
            if at > OWN_ID:
                self.tree.nodes[node].field = at
            if planned.steps:
                self.row.fields[at].steps = <Step*> calloc(len(planned.steps), sizeof(Step))
                if self.row.fields[at].steps == NULL:
                    raise MemoryError
                self.row.fields[at].count = <int> len(planned.steps)
                for step in range(self.row.fields[at].count):
                    self.row.fields[at].steps[step].field, self.row.fields[at].steps[step].end = planned.steps[step]
        return 0

    cdef int add_path(self, list plan, root, list keys) except -1:
        """Add a path to the plan, unless everything there is selected already."""
        path, at = [root], root
        for key in keys:
            if key not in at.below:
                node = self.node_of(at.node, key)
                if node == NONE:  # no document can have such a key
                    return 0
                at.below[key] = Plan(node, len(plan))
                plan.append(at.below[key])
            at = at.below[key]
            if at.whole:
                return 0
            path.append(at)
        for above, below in zip(path, path[1:]):
            above.steps.append((below.number, at.number))
        at.all()
        return 0

    cdef void forget(self):
        cdef int at
        for at in range(self.field_count):
            free(self.row.fields[at].steps)
        free(self.row.fields)
        self.row.fields, self.field_count = NULL, 0


class Plan:
    """A selected field while its steps are being determined."""

    def __init__(self, node, number=None):
        self.node, self.number = node, node if number is None else number
        self.below, self.steps, self.whole = {}, [], False

    def all(self):
        """Select everything here: the remaining keys come after those selected before."""
        if not self.whole:
            self.whole = True
            if self.steps:
                self.steps.append((REST, REST))
            for plan in self.below.values():
                plan.all()
