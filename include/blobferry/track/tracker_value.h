/* tracker_value: what a value is in one kind of column: the common form by which databases of different kinds are compared, and in
 * which a value is given to a database that is strict about its types. */
#ifndef BLOBFERRY_TRACK_TRACKER_VALUE_H
#define BLOBFERRY_TRACK_TRACKER_VALUE_H

#include "blobferry/base/buf.h"
#include "blobferry/track/tracker.h"

enum tracker_kind {
    TRACKER_KIND_ANY, /* a column without a type */
    TRACKER_KIND_TEXT,
    TRACKER_KIND_INTEGER,
    TRACKER_KIND_REAL,
    TRACKER_KIND_BOOLEAN,
    TRACKER_KIND_TIME, /* an instant; without a zone: UTC */
    TRACKER_KIND_UUID,
    TRACKER_KIND_BYTES,
    TRACKER_KIND_OTHER, /* anything else, by its text */
    TRACKER_KINDS
};
const char *tracker_kind_name(enum tracker_kind k);

/* NULL when a column of that kind in a strict database holds this value; else why it does not: "is no time". NULL is held by all. */
const char *tracker_value_defect(const struct tracker_value *v, enum tracker_kind k);
/* Adds the common form: decimal numbers, 'YYYY-MM-DD HH:MM:SS[.ffffff]' in UTC, 't' or 'f', lower-case UUIDs, '\x' and hex for bytes,
 * text as it is. A value with a defect gives its bytes. Nothing for NULL. */
void tracker_value_common(struct buf *b, const struct tracker_value *v, enum tracker_kind k);

#endif
