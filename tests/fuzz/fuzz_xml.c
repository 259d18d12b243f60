/* fuzz_xml: any bytes as a server's answer. Events must nest, stay in their bounds, and end. */
#include "blobferry/codec/xml.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct xml x;
    int depth = 0;
    size_t events = 0;
    xml_init(&x, data, size, 256);
    while (xml_next(&x)) {
        must(x.name != NULL && strlen(x.name) < XML_NAME_MAX);
        must(++events <= 2 * size); /* "<a/>" gives two events in four bytes */
        if (x.event == XML_OPEN) {
            must(x.depth == ++depth && depth <= XML_DEPTH_MAX);
        } else {
            must(x.depth == depth-- && depth >= 0);
            must(x.text.len <= 256 &&
                 (x.text.len == 0 || memchr(x.text.data, 0, x.text.len) == NULL));
        }
    }
    must(x.failed != x.done && (x.failed || depth == 0));
    must(!xml_next(&x));
    xml_release(&x);
    return 0;
}
