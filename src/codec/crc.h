/* crc: the three CRCs that S3 stores beside an object, table driven (slicing by eight), with the
 * processor's instruction for CRC32C where there is one. Private to codec; see digest.h.
 *
 *     uint64_t v = crc_start(DIGEST_CRC32C);
 *     v = crc_update(DIGEST_CRC32C, v, p, n);  ...
 *     v = crc_finish(DIGEST_CRC32C, v);
 */
#ifndef BLOBFERRY_CODEC_CRC_PRIVATE_H
#define BLOBFERRY_CODEC_CRC_PRIVATE_H

#include "blobferry/codec/digest.h"

#include <stddef.h>
#include <stdint.h>

/* `kind` must be one of DIGEST_CRC32, DIGEST_CRC32C, DIGEST_CRC64NVME. Any thread, never blocks
 * after the first call. */
uint64_t crc_start(enum digest_kind kind);
uint64_t crc_update(enum digest_kind kind, uint64_t value, const void *p, size_t n);
uint64_t crc_finish(enum digest_kind kind, uint64_t value);
/* As crc_update without the processor's instruction: so that tests can compare the two. */
uint64_t crc_update_by_table(enum digest_kind kind, uint64_t value, const void *p, size_t n);

#endif
