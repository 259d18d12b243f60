#include "driver.h"

#include "blobferry/base/str.h"

struct driver_shown driver_shown(const char *key)
{
    struct driver_shown shown = {.text = ""};

    str_printable(shown.text, sizeof shown.text, key);
    return shown;
}
