/* verify_hash: one object read and hashed while the loop goes on with others; nothing is believed but the bytes.
 *
 *     verify_hash_start(&h, store, &(struct verify_hash_options){.key = key, …}, done, user, e);
 *     … done is called …;  verify_hash_equal(&h, &expected);  verify_hash_release(&h);
 */
#ifndef BLOBFERRY_SRC_ENGINE_VERIFY_HASH_H
#define BLOBFERRY_SRC_ENGINE_VERIFY_HASH_H

#include "blobferry/codec/checksum.h"
#include "blobferry/object/objstore.h"

/* Also given the bytes as they come; p NULL: they begin again. False stops. */
typedef bool verify_hash_tee_fn(void *user, const void *p, size_t n);

struct verify_hash_options {
    const char *key;
    const char *if_match;  /* NULL: whatever is there */
    enum digest_kind kind; /* NONE: SHA-256 */
    verify_hash_tee_fn *tee;
    void *tee_user;
};
struct verify_hash {
    struct digest digest;
    bool running; /* digest is initialised */
    int64_t bytes;
    verify_hash_tee_fn *tee;
    void *tee_user;
};
/* As objstore_get: ERR_OK and `done` later, or an error and never. h is zeroed, or was used before; it stays where it is until then. */
enum err_code verify_hash_start(struct verify_hash *h, struct objstore *store,
                                const struct verify_hash_options *o, objstore_done_fn *done,
                                void *user, struct err *e);
/* Once the object has been read: ends the digest, which may be asked for once. */
void verify_hash_final(struct verify_hash *h, unsigned char out[DIGEST_MAX]);
void verify_hash_release(struct verify_hash *h); /* harmless when it was never started */

#endif
