// The functions that Fluent Bit looks for in the library.

#include <errno.h>
#include <sys/types.h>
#include <unistd.h>

#include "plugin.h"
#include "_cgo_export.h"

#define EXPORT __attribute__((visibility("default")))

enum { FLB_ERROR = 0, FLB_OK = 1, FLB_RETRY = 2 };

int azureblob_pipe = -1;

static pid_t loaded_by;

__attribute__((constructor)) static void loaded(void) {
    loaded_by = getpid();
}

// The Go runtime's threads are not there in the child of a fork, and what is called in
// it may never return.
static int forked(void) {
    return getpid() != loaded_by;
}

EXPORT int FLBPluginRegister(void *def) {
    return azureblobRegister(def);
}

EXPORT int FLBPluginInit(void *plugin) {
    return forked() ? FLB_ERROR : azureblobInit(plugin);
}

// The one that runs on a coroutine's stack.
EXPORT int FLBPluginFlushCtx(void *instance, const void *data, size_t size, char *tag) {
    struct azureblob_flush f = {
        .instance = instance, .data = data, .size = size, .tag = tag, .result = FLB_RETRY,
    };
    struct azureblob_flush *p = &f;
    ssize_t n;

    sem_init(&f.answered, 0, 0);
    do {
        n = write(azureblob_pipe, &p, sizeof p); // so few bytes go whole or not at all
    } while (n < 0 && errno == EINTR);
    if (n != sizeof p) {
        return FLB_RETRY;
    }
    while (sem_wait(&f.answered) != 0 && errno == EINTR) {
    }
    return f.result;
}

void azureblob_answer(struct azureblob_flush *f, int result) {
    f->result = result;
    sem_post(&f->answered);
}

EXPORT int FLBPluginExitCtx(void *instance) {
    return forked() ? FLB_OK : azureblobExit(instance);
}

// For versions that do not know FLBPluginExitCtx, where nothing can be told apart.
EXPORT int FLBPluginExit(void) {
    return FLB_OK;
}

EXPORT void FLBPluginUnregister(void *def) {
    if (!forked()) {
        azureblobUnregister(def);
    }
}
