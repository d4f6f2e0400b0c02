// A library whose flushes do what their tag says. For the tests of the host.

#include <string.h>

struct def {
    int type, proxy, flags;
    const char *name, *description;
    int event_type;
};

struct plugin {
    char *name;
    const char *(**api)(const char *, void *);
    void *instance;
    void **context;
};

static int started;
static const volatile char *kept;

int FLBPluginRegister(struct def *def) {
    def->type = 2;
    def->proxy = 11;
    def->name = "library";
    def->description = "of the host's tests";
    return 0;
}

int FLBPluginInit(struct plugin *p) {
    const char *start = (*p->api)("Start", p->instance);
    if (start == NULL || strcmp(start, "of it all") != 0 || (*p->api)("empty", p->instance) != NULL) {
        return 0;
    }
    started++;
    *p->context = &started;
    return 1;
}

static int deep(int bytes) {
    volatile char room[bytes];
    for (int i = 0; i < bytes; i++) {
        room[i] = 1;
    }
    return room[bytes - 1];
}

int FLBPluginFlushCtx(void *context, const char *data, unsigned long size, char *tag) {
    if (context != &started) {
        return 0;
    }
    if (strcmp(tag, "ok") == 0) {
        int sum = 0;
        for (unsigned long i = 0; i < size; i++) {
            sum += data[i];
        }
        return sum == 6 ? 1 : 0;
    } else if (strcmp(tag, "retry") == 0) {
        return 2;
    } else if (strcmp(tag, "seven") == 0) {
        return 7;
    } else if (strcmp(tag, "deep") == 0) {
        return deep(20000);
    } else if (strcmp(tag, "too deep") == 0) {
        return deep(25000);
    } else if (strcmp(tag, "write") == 0) {
        *(volatile char *)data = 1;
    } else if (strcmp(tag, "before its time") == 0) {
        kept = data;
        return 1;
    } else if (strcmp(tag, "after it") == 0) {
        return *kept;
    } else if (strcmp(tag, "past the end") == 0) {
        return *(const volatile char *)(data + size);
    }
    return 1;
}

int FLBPluginExitCtx(void *context) {
    if (context != NULL) {
        started--;
    }
    return 1;
}
