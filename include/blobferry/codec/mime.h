/* mime: a Content-Type from a file name's extension (any case); application/octet-stream otherwise. */
#ifndef BLOBFERRY_CODEC_MIME_H
#define BLOBFERRY_CODEC_MIME_H
const char *mime_from_name(const char *filename);
#endif
