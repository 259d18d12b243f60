/* xml: the little XML that S3 speaks, pulled token by token from a bounded buffer: elements, text with the five entities and
 * character references, CDATA, declarations, comments; namespace prefixes are dropped; a DTD is refused (no entity is ever
 * fetched); depth and text size are bounded. Text is not trimmed.
 *
 *     struct xml x; xml_init(&x, p, n);
 *     while (xml_next(&x)) switch (x.event) { case XML_OPEN: x.name … case XML_CLOSE: x.text … }
 *     if (x.failed) …                      (malformed or truncated)
 */
#ifndef BLOBFERRY_CODEC_XML_H
#define BLOBFERRY_CODEC_XML_H

#include "blobferry/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define XML_DEPTH_MAX 32
#define XML_NAME_MAX  64
enum xml_event { XML_OPEN, XML_CLOSE };

struct xml {
    const char *at, *end;
    int depth; /* of the element of the current event, root is 1 */
    char names[XML_DEPTH_MAX][XML_NAME_MAX];
    enum xml_event event;
    const char *name; /* local name of the current element */
    struct buf text;  /* at XML_CLOSE of a leaf: its text; any byte but NUL */
    bool leaf;        /* at XML_CLOSE: had no child elements */
    bool self_closed;
    bool failed;
    bool done;
};

/* p is borrowed until xml_release; max_text 0: 1 MiB. A leaf whose text is longer makes it fail when
 * it closes; what came before has been delivered. A NUL anywhere fails before the first event. */
void xml_init(struct xml *x, const void *p, size_t n, size_t max_text);
bool xml_next(struct xml *x); /* false at the end (done) and at a fault (failed) */
void xml_release(struct xml *x);

#endif
