/* s3_xml: the documents that are sent. Pure. */
#ifndef BLOBFERRY_SRC_OBJECT_S3_XML_H
#define BLOBFERRY_SRC_OBJECT_S3_XML_H

#include "blobferry/base/buf.h"

/* Text of an element: markup as entities, control characters as references. */
bool s3_xml_text(struct buf *b, const char *text);
bool s3_xml_element(struct buf *b, const char *name, const char *text);

#endif
