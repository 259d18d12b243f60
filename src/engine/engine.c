#include "blobferry/engine/engine.h"

bool engine_stopping(const struct engine *g)
{
    return g->stopping != NULL ? g->stopping() : process_stopping();
}

void engine_emit(const struct engine *g, const struct engine_event *ev)
{
    if (g->on_event != NULL)
        g->on_event(g->event_user, ev);
}
