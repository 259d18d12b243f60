/* csv: one state machine over one stream; what RFC 4180 does not allow is refused with its line,
 * not guessed at. A file of any length is read in the memory of its longest record (P10). */
#include "blobferry/codec/csv.h"

#include <errno.h>
#include <string.h>

#define DEFAULT_RECORD_BYTES ((size_t)1 << 20)

enum place { FIELD_START, PLAIN, QUOTED, QUOTE_SEEN };

void csv_init(struct csv *c, FILE *in, const char *name, size_t max_record_bytes)
{
    memset(c, 0, sizeof *c);
    c->in = in;
    c->name = name;
    c->next_line = 1;
    buf_init(&c->data, max_record_bytes == 0 ? DEFAULT_RECORD_BYTES : max_record_bytes);
}

void csv_release(struct csv *c)
{
    buf_release(&c->data);
    c->fields = 0;
}

const char *csv_field(const struct csv *c, size_t i)
{
    return i < c->fields ? c->data.data + c->starts[i] : NULL;
}

static int get(struct csv *c)
{
    if (c->pending_at < c->pending_len)
        return c->pending[c->pending_at++];
    return getc_unlocked(c->in);
}

/* Spreadsheets put U+FEFF before the first name; anything else that was read is given back. */
static void skip_mark(struct csv *c)
{
    static const unsigned char mark[3] = {0xef, 0xbb, 0xbf};
    c->begun = true;
    for (size_t i = 0; i < sizeof mark; i++) {
        const int ch = getc_unlocked(c->in);
        if (ch == EOF)
            return;
        c->pending[c->pending_len++] = (unsigned char)ch;
        if (ch != mark[i])
            return;
    }
    c->pending_len = 0;
}

static enum err_code fault(const struct csv *c, size_t line, const char *what, struct err *e)
{
    return err_set(e, ERR_PARSE, "'%s' line %zu: %s", c->name, line, what);
}

static bool put(struct csv *c, int ch)
{
    return buf_char(&c->data, (char)ch);
}

static bool begin_field(struct csv *c)
{
    if (c->fields == CSV_FIELDS_MAX)
        return false;
    c->starts[c->fields++] = c->data.len;
    return true;
}

/* What is wrong with `ch` at this place, or NULL. */
static const char *objection(enum place at, int ch)
{
    if (ch == '\0')
        return "NUL byte";
    if (at == PLAIN && ch == '"')
        return "quote inside a field that does not begin with one";
    if (at == QUOTE_SEEN && ch != '"' && ch != ',' && ch != '\n' && ch != '\r' && ch != EOF)
        return "text after a closing quote";
    return NULL;
}

/* The end of a line outside quotes: LF or CRLF, nothing else. */
static bool is_line_end(struct csv *c, int ch, bool *bad)
{
    if (ch == '\r') {
        ch = get(c);
        *bad = ch != '\n';
    }
    return ch == '\n' || ch == EOF;
}

/* One record, or nothing but a line end (then fields is 0). */
static enum err_code read_record(struct csv *c, struct err *e)
{
    enum place at = FIELD_START;
    bool bad = false;
    for (;;) {
        const int ch = get(c);
        const char *wrong = objection(at, ch);
        if (wrong != NULL)
            return fault(c, c->next_line, wrong, e);
        if (ch == EOF) {
            c->eof = true;
            if (at == QUOTED)
                return fault(c, c->line, "quote never closed", e);
        }
        if (at == QUOTED && ch != '"') {
            if (ch == '\n')
                c->next_line++;
            if (!put(c, ch))
                return fault(c, c->line, "record too long (a quote never closed?)", e);
            continue;
        }
        if (at == QUOTED) { /* the end of the field, or half of a doubled quote */
            at = QUOTE_SEEN;
            continue;
        }
        const bool ends_line = ch != '"' && ch != ',' && is_line_end(c, ch, &bad);
        if (bad)
            return fault(c, c->next_line, "carriage return without a line feed", e);
        if (at == FIELD_START) {
            if (ends_line && c->fields == 0)
                return ERR_OK; /* an empty line */
            if (!begin_field(c))
                return fault(c, c->line, "too many fields", e);
        }
        if (ends_line || ch == ',') {
            if (!put(c, '\0'))
                return fault(c, c->line, "record too long", e);
            if (ends_line)
                return ERR_OK;
            at = FIELD_START;
        } else if (ch == '"' && at == FIELD_START) {
            at = QUOTED;
        } else {
            if (!put(c, ch))
                return fault(c, c->line, "record too long", e);
            at = at == QUOTE_SEEN ? QUOTED : PLAIN;
        }
    }
}

enum err_code csv_next(struct csv *c, bool *more, struct err *e)
{
    *more = false;
    c->fields = 0;
    if (!c->begun)
        skip_mark(c);
    while (!c->eof) {
        c->line = c->next_line;
        c->fields = 0;
        buf_reset(&c->data);
        errno = 0;
        const enum err_code code = read_record(c, e);
        if (ferror(c->in)) {
            c->fields = 0;
            c->eof = true;
            return err_set_errno(e, ERR_FILE, errno, "cannot read '%s'", c->name);
        }
        if (code != ERR_OK) {
            c->fields = 0;
            c->eof = true; /* where the next record begins is not known */
            return code;
        }
        c->next_line++;
        if (c->fields > 0) {
            *more = true;
            return ERR_OK;
        }
    }
    return ERR_OK;
}
