// What plugin.c and the Go side share.

#ifndef AZUREBLOB_PLUGIN_H
#define AZUREBLOB_PLUGIN_H

#include <semaphore.h>
#include <stddef.h>

// None of it is for the host: a hidden name is never taken for one of the program's.
#pragma GCC visibility push(hidden)

// A flush is one call of FLBPluginFlushCtx. It lives on the caller's stack until it is
// answered.
struct azureblob_flush {
    void *instance;
    const void *data;
    size_t size;
    const char *tag;
    int result;
    sem_t answered;
};

// The pipe's end that flushes are written to, as pointers.
extern int azureblob_pipe;

// azureblob_answer wakes the caller. The flush is gone when it returns.
void azureblob_answer(struct azureblob_flush *f, int result);

#pragma GCC visibility pop

#endif
