/* floor FOLDER: reads every file below it once and hashes it, on one thread. What no client can go below. */
#include <fcntl.h>
#include <fts.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BUFFER = 256 << 10 };

static int hash_file(const char *path, EVP_MD_CTX *hash, char *buffer)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 1;
    EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
    ssize_t n;
    while ((n = read(fd, buffer, BUFFER)) > 0)
        EVP_DigestUpdate(hash, buffer, (size_t)n);
    EVP_DigestFinal_ex(hash, digest, NULL);
    close(fd);
    return n != 0;
}

int main(int argc, char **argv)
{
    int failed = 0, files = 0;
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    char *buffer = malloc(BUFFER);
    FTS *tree = argc == 2 ? fts_open(argv + 1, FTS_PHYSICAL | FTS_NOCHDIR, NULL) : NULL;
    if (!hash || !buffer || !tree)
        return 2;
    for (FTSENT *entry; (entry = fts_read(tree));) {
        if (entry->fts_info == FTS_F) {
            failed += hash_file(entry->fts_path, hash, buffer);
            files++;
        }
    }
    fts_close(tree);
    free(buffer);
    EVP_MD_CTX_free(hash);
    return failed || !files;
}
