# The engines of flat formats: discovery of columns, lines of CSV, flat JSON objects, rows of a worksheet.

@cython.internal
cdef class Leaves(Engine):
    """Assigns leaves to columns as `names` decides; writes nothing itself."""

    cdef object names
    cdef Row row

    def __init__(self, names, reference, int width=0):
        self.names, self.reference = names, reference
        make_row(&self.row, width)

    def __dealloc__(self):
        free_row(&self.row)

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
            self.tree.nodes[key].whole = below.whole
            inner = as_object(value)
            if inner is not None:
                self.copy(dict(inner), below, key)
        return 0


@cython.internal
cdef class Rows(Leaves):
    """Documents as rows of cells: the fields themselves, or what the columns of the request make of them."""

    cdef Row cells  # of the columns of the request
    cdef Row* shown_row
    cdef OutputCell* rules
    cdef Py_ssize_t* offsets
    cdef Check* checks  # of the columns of the request; NULL: no feed template
    cdef Group* groups
    cdef int group_count
    cdef Out arena
    cdef Out number_text
    cdef object findings
    cdef tuple columns
    cdef bint listing
    cdef list kept  # what the pointers in `rules` point to

    def __init__(self, rows, reference, selection, tally):
        output = selection.output
        Leaves.__init__(self, rows.names, reference, rows.width)
        self.shown_row, self.findings, self.kept = &self.row, tally.findings, []
        if output is not None:
            self.columns = output.columns
            make_row(&self.cells, <int> len(self.columns))
            self.shown_row = &self.cells
            self.rules = <OutputCell*> calloc(len(self.columns), sizeof(OutputCell))
            self.offsets = <Py_ssize_t*> calloc(len(self.columns), sizeof(Py_ssize_t))
            if self.rules == NULL or self.offsets == NULL:
                raise MemoryError
            places = {name: at for at, name in enumerate(output.sources)}
            for at, column in enumerate(self.columns):
                self.add_rule(&self.rules[at], column, places)
            if any(column.check is not None for column in self.columns):
                self.add_checks(output)

    def __dealloc__(self):
        cdef int at
        for at in range(self.cells.width):
            if self.rules != NULL:
                free(self.rules[at].pieces)
                free(self.rules[at].texts)
            if self.checks != NULL:
                free(self.checks[at].values)
                free(self.checks[at].reserved)
        free(self.rules)
        free(self.checks)
        free(self.groups)
        free(self.number_text.bytes)
        free(self.offsets)
        free(self.arena.bytes)
        free_row(&self.cells)

    cdef int add_rule(self, OutputCell* rule, column, dict places) except -1:
        cdef int at
        rules = column.rules
        rule.is_template, rule.fields = column.is_template, <int> len(column.fields)
        rule.pieces = <Piece*> calloc(len(column.pieces) + 1, sizeof(Piece))
        if rule.pieces == NULL:
            raise MemoryError
        rule.count = <int> len(column.pieces)
        for at, piece in enumerate(column.pieces):
            if isinstance(piece, str):
                rule.pieces[at].text = self.span(piece.encode())
            else:
                numbers = array("i", [places[name] for name in piece])
                self.kept.append(numbers)
                rule.pieces[at].places, rule.pieces[at].count = <const int*> <size_t> numbers.buffer_info()[0], len(numbers)
        if not column.pieces and column.constant is not None:
            # BSON: its size, the type, the key "" with its NUL, the value, and a NUL.
            document = bson.encode({"": column.constant})
            rule.constant_kind, rule.constant = document[4], self.span(document[6:len(document) - 1])
        rule.has_texts, rule.text_count = rules.texts is not None, <int> len(rules.texts or ())
        rule.texts = <MappedText*> calloc(rule.text_count + 1, sizeof(MappedText))
        if rule.texts == NULL:
            raise MemoryError
        for at, (key, text) in enumerate(sorted((key.encode(), text) for key, text in (rules.texts or {}).items())):
            rule.texts[at].key, rule.texts[at].text = self.span(key), self.text(text)
        if rules.default_text is not None:
            rule.default_text = self.text(rules.default_text)
        rule.strip_html = rules.strip_html
        if rules.join is not None:
            rule.join = self.span(rules.join.encode())
        if rules.number is not None:
            number = rules.number
            rule.number, rule.decimals = True, NONE if number.decimals is None else number.decimals
            rule.decimal_mark, rule.thousands = self.span(number.decimal_mark.encode()), self.span(number.thousands.encode())
            rule.prefix, rule.suffix = self.span(number.prefix.encode()), self.span(number.suffix.encode())
        if rules.date is not None:
            rule.date_pattern, rule.is_utc = self.span(rules.date.pattern.encode()), rules.date.timezone.key == "UTC"
        if rules.true_false is not None:
            rule.true_text, rule.false_text = self.text(rules.true_false[0]), self.text(rules.true_false[1])
        rule.case_ = {"upper": CASE_UPPER, "lower": CASE_LOWER, "capitalize": CASE_CAPITALIZE}.get(rules.case, CASE_NONE)
        rule.max_length = NONE if rules.max_length is None else rules.max_length
        rule.if_missing = {"skip_row": IF_MISSING_SKIP_ROW, "fail": IF_MISSING_FAIL}.get(rules.if_missing, IF_MISSING_EMPTY)
        rule.has_rules = (
            rule.has_texts or rule.strip_html or rule.join.at != NULL or rule.number or rule.date_pattern.at != NULL
            or rule.true_text.at != NULL or rule.case_ != CASE_NONE or rule.max_length != NONE
        )
        return 0

    cdef int add_checks(self, output) except -1:
        cdef int at
        cdef Check* check
        self.group_count = <int> len(output.one_of)
        self.checks = <Check*> calloc(len(self.columns), sizeof(Check))
        self.groups = <Group*> calloc(self.group_count + 1, sizeof(Group))
        if self.checks == NULL or self.groups == NULL:
            raise MemoryError
        for at, column in enumerate(self.columns):
            if column.check is None:
                continue
            check, rules = &self.checks[at], column.check
            check.is_set, check.required = True, rules.required
            check.values, check.value_count = self.spans(sorted(value.encode() for value in rules.values)), len(rules.values)
            check.max_length = NONE if rules.max_length is None else rules.max_length
            check.kind = {"price": KIND_PRICE, "gtin": KIND_GTIN, "link": KIND_LINK}.get(rules.kind, KIND_TEXT)
            check.currencies = self.span("".join(rules.currencies).encode())
            check.reserved = self.spans([prefix.encode() for prefix in rules.reserved_prefixes])
            check.reserved_count = len(rules.reserved_prefixes)
        for at, places in enumerate(output.one_of):
            numbers = array("i", places)
            self.kept.append(numbers)
            self.groups[at].places, self.groups[at].count = <const int*> <size_t> numbers.buffer_info()[0], len(numbers)
        return 0

    cdef Span* spans(self, list texts) except NULL:
        cdef int at
        cdef Span* spans = <Span*> calloc(len(texts) + 1, sizeof(Span))
        if spans == NULL:
            raise MemoryError
        for at, text in enumerate(texts):
            spans[at] = self.span(text)
        return spans

    cdef Span span(self, bytes text):
        cdef Span span
        self.kept.append(text)
        span.at, span.size = <const unsigned char*> PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)
        return span

    cdef Span text(self, str text):
        """The text in the layout of a BSON string."""
        return self.span(b"\0\0\0\0" + text.encode() + b"\0")

    def encode(self, bytes batch not None, int64_t first=0):
        """As `Engine.encode`; what it does not list is counted at the end."""
        self.listing = not self.findings.is_full
        try:
            return Leaves.encode(self, batch, first)
        finally:
            if self.rules != NULL:
                self.count()

    cdef int count(self) except -1:
        cdef int at
        for at in range(self.cells.width):
            for reason, rows in (("skipped_row", self.rules[at].skipped), ("cut_text", self.rules[at].cut)):
                if rows:
                    self.findings.count(self.columns[at].header, reason, rows)
            self.rules[at].skipped = self.rules[at].cut = 0
            if self.checks != NULL and self.checks[at].is_set:
                for reason in range(MISSING_REQUIRED, REFUSALS):
                    if self.checks[at].refused[reason]:
                        self.findings.count(
                            self.columns[at].header, REFUSAL_REASONS[reason], self.checks[at].refused[reason]
                        )
                    self.checks[at].refused[reason] = 0
        for at in range(self.group_count):
            if self.groups[at].refused:
                header = self.columns[self.groups[at].places[0]].header
                self.findings.count(header, "missing_value", self.groups[at].refused)
            self.groups[at].refused = 0
        return 0

    cdef int fall_back(self, bytes batch, const unsigned char* at, Py_ssize_t size, int64_t row, int code) except -1:
        cdef int rows = Leaves.fall_back(self, batch, at, size, row, code)
        self.listing = not self.findings.is_full
        return rows

    cdef int write(self, const unsigned char* at, Py_ssize_t size, int64_t row) noexcept nogil:
        cdef int code = fill_document(&self.tree, &self.row, &self.root, at, size)
        cdef int column
        cdef bint is_cut = False, is_refused = False
        if code == OK and self.rules != NULL:
            code = make_cells(
                &self.arena, &self.tree, self.rules, self.cells.width, &self.row, &self.cells, self.offsets, self.listing,
                &is_cut
            )
            if code == OK and self.checks != NULL:
                code = check_cells(
                    self.checks, self.groups, self.group_count, &self.number_text, &self.cells, &is_refused
                )
                if is_refused and self.listing:
                    return FALLBACK
        if code == OK:
            code = self.put_cells(row)
        if code == OK:  # the reference counts what is left to it
            if is_cut:
                for column in range(self.cells.width):
                    self.rules[column].cut += self.rules[column].cut_now
            if is_refused:
                count_refused(self.checks, self.cells.width, self.groups, self.group_count)
        return code

    cdef int put_cells(self, int64_t row) noexcept nogil:
        """Write the cells in `shown_row`."""
        return FALLBACK


@cython.internal
cdef class Lines(Rows):
    """Documents as lines of CSV."""

    cdef Dialect dialect

    def __init__(self, rows, reference, selection, tally, int delimiter, bint escape):
        Rows.__init__(self, rows, reference, selection, tally)
        self.dialect.delimiter, self.dialect.escape = delimiter, escape

    cdef int put_cells(self, int64_t row) noexcept nogil:
        return put_line(&self.out, &self.scratch, &self.tree, self.shown_row, &self.dialect)


@cython.internal
cdef class FlatLines(Rows):
    """The columns of a request as JSON objects."""

    cdef Span* labels
    cdef int indent

    def __init__(self, rows, reference, selection, tally, columns, int indent, bytes ending, bint quote_decimals):
        cdef int at
        Rows.__init__(self, rows, reference, selection, tally)
        self.indent = indent
        self.tree.pretty, self.tree.quote_decimals = indent != NONE, quote_decimals
        free_tree(&self.tree)
        self.begin()
        self.end_with(ending)
        self.labels = <Span*> calloc(len(columns), sizeof(Span))
        if self.labels == NULL:
            raise MemoryError
        for at, header in enumerate(columns):
            self.labels[at] = self.span(f"{encode_basestring(header)}{':' if indent == NONE else ': '}".encode())

    def __dealloc__(self):
        free(self.labels)

    cdef int put_cells(self, int64_t row) noexcept nogil:
        cdef int below = NONE if self.indent == NONE else self.indent + 2, at
        put_byte(&self.out, b"{")
        for at in range(self.shown_row.width):
            if at:
                put_byte(&self.out, b",")
            put_break(&self.out, below)
            put(&self.out, <const char*> self.labels[at].at, self.labels[at].size)
            if self.shown_row.kinds[at] == 0:
                put(&self.out, b"null", 4)
            elif put_json(
                &self.out, &self.tree, self.shown_row.nodes[at], self.shown_row.kinds[at], self.shown_row.values[at],
                self.shown_row.sizes[at], 1, below
            ):
                return FALLBACK
        put_break(&self.out, self.indent)
        put_byte(&self.out, b"}")
        put(&self.out, self.after, self.after_size)
        return OK


@cython.internal
cdef class XmlRows(Rows):
    """Documents as rows of a worksheet."""

    cdef char* letters
    cdef int* sizes
    cdef int* longest  # characters of the longest cell, by column
    cdef int* contents  # what the column holds
    cdef int style

    def __init__(self, rows, reference, selection, tally, int width, int first_style):
        cdef bytes beginning
        cdef int column
        Rows.__init__(self, rows, reference, selection, tally)
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
        return [self.contents[column] for column in range(self.shown_row.width)]

    def shown(self):
        """Characters of the longest cell of each column."""
        cdef int column
        return [self.longest[column] for column in range(self.shown_row.width)]

    cdef int put_cells(self, int64_t row) noexcept nogil:
        return put_xml_row(
            &self.out, &self.scratch, &self.tree, self.shown_row, self.letters, self.sizes, self.longest, self.contents, row,
            self.style
        )
