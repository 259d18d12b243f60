/* objstore_layout: how a file is cut into parts. */
#include "blobferry/object/objstore.h"

#define PART_DEFAULT (16ull << 20)
#define PART_STEP    (1ull << 20) /* parts are whole MiB */

enum err_code objstore_layout(uint64_t size, uint64_t requested, struct objstore_layout *out,
                              struct err *e)
{
    uint64_t part = requested == 0 ? PART_DEFAULT : requested;

    *out = (struct objstore_layout){0, 0};
    if (size > OBJSTORE_SIZE_MAX)
        return err_set(e, ERR_LIMIT, "%llu bytes are more than the 5 TiB that an object may have",
                       (unsigned long long)size);
    if (part < OBJSTORE_PART_MIN)
        part = OBJSTORE_PART_MIN;
    if (part > OBJSTORE_PART_MAX)
        part = OBJSTORE_PART_MAX;
    if (size <= part)
        return ERR_OK;
    if (size > part * OBJSTORE_PARTS_MAX) {
        part = (size + OBJSTORE_PARTS_MAX - 1) / OBJSTORE_PARTS_MAX;
        part = (part + PART_STEP - 1) / PART_STEP * PART_STEP;
    }
    out->part_size = part;
    out->parts = (size + part - 1) / part;
    return ERR_OK;
}
