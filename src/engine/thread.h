/* thread: threads of the engine hear no signals: those are the main thread's. */
#ifndef BLOBFERRY_SRC_ENGINE_THREAD_H
#define BLOBFERRY_SRC_ENGINE_THREAD_H

#include <pthread.h>

/* As pthread_create: 0, or an errno. */
int thread_start(pthread_t *thread, void *(*run)(void *), void *arg);

#endif
