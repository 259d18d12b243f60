/* xml: a pull parser over one buffer, without recursion and without allocation but for the text of
 * the current leaf. What a server sends is hostile until read: a DTD, an unknown entity, a NUL, a
 * tag that does not match or an end that comes too early all make it fail. */
#include "blobferry/codec/xml.h"

#include <stdint.h>
#include <string.h>

#define DEFAULT_TEXT ((size_t)1 << 20)
#define ENTITY_MAX   10 /* bytes between & and ;, leading zeros included */

void xml_init(struct xml *x, const void *p, size_t n, size_t max_text)
{
    static const char mark[] = "\xef\xbb\xbf";
    memset(x, 0, sizeof *x);
    buf_init(&x->text, max_text == 0 ? DEFAULT_TEXT : max_text);
    x->at = p;
    x->end = n == 0 ? x->at : x->at + n;
    if (n > 0 && memchr(p, '\0', n) != NULL)
        x->failed = true; /* legal in no encoding that we read; later code sees C strings */
    if (n >= 3 && memcmp(p, mark, 3) == 0)
        x->at += 3;
}

void xml_release(struct xml *x)
{
    buf_release(&x->text);
    x->at = x->end = NULL;
    x->name = NULL;
    x->done = true;
}

static bool fail(struct xml *x)
{
    x->failed = true;
    return false;
}

static size_t left(const struct xml *x)
{
    return (size_t)(x->end - x->at);
}

static bool looking_at(const struct xml *x, const char *s)
{
    const size_t n = strlen(s);
    return left(x) >= n && memcmp(x->at, s, n) == 0;
}

/* Past the next occurrence of s. */
static bool skip_past(struct xml *x, const char *s)
{
    const char *found = memmem(x->at, left(x), s, strlen(s));
    if (found == NULL)
        return fail(x);
    x->at = found + strlen(s);
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool skip_blanks(struct xml *x)
{
    const char *begin = x->at;
    while (x->at < x->end && is_blank(*x->at))
        x->at++;
    return x->at > begin;
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
           (unsigned char)c >= 0x80;
}

/* Length of the name here; 0 when there is none. */
static size_t name_length(const struct xml *x)
{
    const char *p = x->at;
    if (p == x->end || !is_name_start(*p))
        return 0;
    while (p < x->end && (is_name_start(*p) || (*p >= '0' && *p <= '9') || *p == '-' || *p == '.'))
        p++;
    return (size_t)(p - x->at);
}

static const char *local_name(const char *qualified)
{
    const char *colon = strrchr(qualified, ':');
    return colon == NULL ? qualified : colon + 1;
}

/* ---- text ----------------------------------------------------------------------------------- */

static void add_character(struct buf *b, uint32_t c)
{
    char u[4];
    size_t n = 0;
    if (c < 0x80) {
        u[n++] = (char)c;
    } else if (c < 0x800) {
        u[n++] = (char)(0xc0 | c >> 6);
        u[n++] = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        u[n++] = (char)(0xe0 | c >> 12);
        u[n++] = (char)(0x80 | (c >> 6 & 0x3f));
        u[n++] = (char)(0x80 | (c & 0x3f));
    } else {
        u[n++] = (char)(0xf0 | c >> 18);
        u[n++] = (char)(0x80 | (c >> 12 & 0x3f));
        u[n++] = (char)(0x80 | (c >> 6 & 0x3f));
        u[n++] = (char)(0x80 | (c & 0x3f));
    }
    (void)buf_append(b, u, n);
}

/* "#38" or "#x26" to 0x26. Controls other than NUL are let through: S3 lists keys that hold them
 * this way, though XML 1.0 has no such characters. */
static bool character_reference(const char *s, size_t n, uint32_t *out)
{
    const uint32_t base = n > 1 && s[1] == 'x' ? 16 : 10;
    size_t i = base == 16 ? 2 : 1;
    uint32_t v = 0;
    if (i == n)
        return false;
    for (; i < n; i++) {
        const char c = s[i];
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if (base == 16 && c >= 'a' && c <= 'f')
            digit = (uint32_t)(c - 'a') + 10;
        else if (base == 16 && c >= 'A' && c <= 'F')
            digit = (uint32_t)(c - 'A') + 10;
        else
            return false;
        v = v * base + digit;
        if (v > 0x10ffff)
            return false;
    }
    *out = v;
    return v != 0 && !(v >= 0xd800 && v <= 0xdfff);
}

static bool entity(const char *s, size_t n, uint32_t *out)
{
    static const struct {
        const char *name;
        uint32_t c;
    } known[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    if (n > 0 && s[0] == '#')
        return character_reference(s, n, out);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strlen(known[i].name) == n && memcmp(known[i].name, s, n) == 0) {
            *out = known[i].c;
            return true;
        }
    }
    return false;
}

/* Text up to `stop`, with references replaced, kept only while the element may still be a leaf.
 * Over-long text is no fault before the leaf closes: what precedes a child is dropped anyway. */
static bool take_text(struct xml *x, const char *stop)
{
    while (x->at < stop) {
        const char *amp = memchr(x->at, '&', (size_t)(stop - x->at));
        const char *plain_end = amp == NULL ? stop : amp;
        if (x->leaf)
            (void)buf_append(&x->text, x->at, (size_t)(plain_end - x->at));
        x->at = plain_end;
        if (amp == NULL)
            break;
        const size_t room = (size_t)(stop - amp) - 1;
        const char *semicolon = memchr(amp + 1, ';', room < ENTITY_MAX + 1 ? room : ENTITY_MAX + 1);
        uint32_t c;
        if (semicolon == NULL || !entity(amp + 1, (size_t)(semicolon - amp) - 1, &c))
            return fail(x);
        if (x->leaf)
            add_character(&x->text, c);
        x->at = semicolon + 1;
    }
    return true;
}

/* Character data up to the next '<'; outside the root only blanks may stand. */
static bool take_characters(struct xml *x)
{
    const char *stop = memchr(x->at, '<', left(x));
    if (stop == NULL)
        stop = x->end;
    if (x->depth > 0)
        return take_text(x, stop);
    (void)skip_blanks(x);
    return x->at == stop ? true : fail(x);
}

static bool take_cdata(struct xml *x)
{
    const char *begin = x->at + strlen("<![CDATA[");
    if (x->depth == 0 || !skip_past(x, "]]>"))
        return fail(x);
    if (x->leaf)
        (void)buf_append(&x->text, begin, (size_t)(x->at - begin) - strlen("]]>"));
    return true;
}

/* ---- tags ----------------------------------------------------------------------------------- */

/* name = "value" with either quote; the value may hold anything, '<' and '>' too. */
static bool skip_attribute(struct xml *x)
{
    const size_t n = name_length(x);
    if (n == 0)
        return fail(x);
    x->at += n;
    (void)skip_blanks(x);
    if (!looking_at(x, "="))
        return fail(x);
    x->at++;
    (void)skip_blanks(x);
    if (!looking_at(x, "\"") && !looking_at(x, "'"))
        return fail(x);
    const char quote[2] = {*x->at++, '\0'};
    return skip_past(x, quote);
}

static bool open_element(struct xml *x)
{
    x->at++;
    const size_t n = name_length(x);
    const bool second_root = x->depth == 0 && x->event == XML_CLOSE;
    if (n == 0 || n >= XML_NAME_MAX || x->depth == XML_DEPTH_MAX || second_root)
        return fail(x);
    char *name = x->names[x->depth];
    memcpy(name, x->at, n);
    name[n] = '\0';
    x->at += n;
    for (;;) {
        const bool parted = skip_blanks(x);
        if (looking_at(x, ">")) {
            x->at += 1;
            x->self_closed = false;
            break;
        }
        if (looking_at(x, "/>")) {
            x->at += 2;
            x->self_closed = true;
            break;
        }
        if (!parted || !skip_attribute(x))
            return fail(x);
    }
    x->depth++;
    x->event = XML_OPEN;
    x->name = local_name(name);
    x->leaf = true;
    buf_reset(&x->text);
    return true;
}

static bool close_element(struct xml *x)
{
    x->at += 2;
    const size_t n = name_length(x);
    if (n == 0 || x->depth == 0)
        return fail(x);
    const char *open = x->names[x->depth - 1];
    if (strlen(open) != n || memcmp(open, x->at, n) != 0)
        return fail(x);
    x->at += n;
    (void)skip_blanks(x);
    if (!looking_at(x, ">"))
        return fail(x);
    x->at++;
    if (!x->leaf)
        buf_reset(&x->text);
    if (!buf_ok(&x->text))
        return fail(x);
    x->event = XML_CLOSE;
    x->self_closed = false;
    x->name = local_name(open);
    return true;
}

/* The end of the input is the end of the document only after the root has closed. */
static bool finish(struct xml *x)
{
    if (x->depth > 0 || x->event != XML_CLOSE)
        return fail(x);
    x->done = true;
    return false;
}

bool xml_next(struct xml *x)
{
    if (x->failed || x->done)
        return false;
    if (x->depth > 0 && x->event == XML_CLOSE) {
        x->depth--;
        x->leaf = false; /* the parent has had a child */
    } else if (x->depth > 0 && x->self_closed) {
        x->event = XML_CLOSE;
        return true;
    }
    while (x->at < x->end) {
        if (*x->at != '<') {
            if (!take_characters(x))
                return false;
        } else if (looking_at(x, "</")) {
            return close_element(x);
        } else if (looking_at(x, "<!--")) {
            x->at += 4;
            if (!skip_past(x, "-->"))
                return false;
        } else if (looking_at(x, "<?")) {
            if (!skip_past(x, "?>"))
                return false;
        } else if (looking_at(x, "<![CDATA[")) {
            if (!take_cdata(x))
                return false;
        } else if (looking_at(x, "<!")) {
            return fail(x); /* a DTD: entities could name files and grow without end */
        } else {
            return open_element(x);
        }
    }
    return finish(x);
}
