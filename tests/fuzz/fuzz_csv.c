/* fuzz_csv: any bytes as a file; records must stay in their bounds and the lines must grow. */
#include "blobferry/codec/csv.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECORD_MAX 128

static void must(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csv c;
    struct err e;
    bool more;
    size_t line = 0;
    enum err_code code;
    void *copy = malloc(size + 1); /* fmemopen wants it writable and not empty */
    must(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    FILE *f = size == 0 ? tmpfile() : fmemopen(copy, size, "r");
    must(f != NULL);

    err_init(&e);
    csv_init(&c, f, "input", RECORD_MAX);
    while ((code = csv_next(&c, &more, &e)) == ERR_OK && more) {
        size_t bytes = 0;
        must(c.fields > 0 && c.fields <= CSV_FIELDS_MAX && c.line > line);
        line = c.line;
        for (size_t i = 0; i < c.fields; i++)
            bytes += strlen(csv_field(&c, i)) + 1;
        must(bytes == c.data.len && bytes <= RECORD_MAX); /* no NUL was let through */
        must(csv_field(&c, c.fields) == NULL);
    }
    must(code == ERR_OK || (code == ERR_PARSE && strstr(e.message, "'input' line ") != NULL));
    must(csv_next(&c, &more, &e) == ERR_OK && !more && csv_field(&c, 0) == NULL);
    csv_release(&c);
    (void)fclose(f);
    free(copy);
    return 0;
}
