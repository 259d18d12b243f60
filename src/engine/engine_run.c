#include "blobferry/engine/engine.h"

enum err_code engine_run_record(const struct engine *g, struct err *e)
{
    enum err_code code;

    if (g->run == NULL || g->run->recorded)
        return ERR_OK;
    code = tracker_run_begin(g->tracker,
                             &(struct tracker_run){.id = g->run_id,
                                                   .command = g->run->command,
                                                   .owner = g->owner,
                                                   .started_ms = g->run->started_ms},
                             e);
    g->run->recorded = code == ERR_OK;
    return code;
}
