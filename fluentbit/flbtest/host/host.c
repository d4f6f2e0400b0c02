// Drives an output library as Fluent Bit does (src/flb_plugin_proxy.c, src/proxy/go/go.c),
// by commands that come as lines on stdin. Each gets one line on stdout, and those that
// take a while are answered when they are done, in any order:
//
//   (at the start)                               ready NAME
//   init WORKERS STACK PROPERTIES                init NUMBER, or init failed
//     then PROPERTIES lines "KEY VALUE"
//   flush ID INSTANCE TAGLEN CHUNKLEN            flush ID OK|RETRY|ERROR MICROSECONDS DEPTH
//     then the tag's bytes and the chunk's
//   bulk INSTANCE TIMES FILE                     bulk OKS OTHERS BYTES MICROSECONDS CPUMICROSECONDS
//   exit INSTANCE                                exit INSTANCE
//   reload                                       ready NAME
//   fork                                         forked
//   quit                                         the process ends with 0
//
// An instance has so many workers, or, with 0, flushes on the main thread, as Fluent
// Bit's engine does. Flushes are dealt out to the workers in turn, each of which makes
// one at a time, on a fresh stack of STACK bytes with a page below it that cannot be
// touched. DEPTH is how much of the stack was used. The chunk ends where the memory
// does, cannot be written to, and is gone after the flush, so a library that looks at
// it where or when it must not crashes.
//
// FILE is a row of flushes, with lengths in the machine's byte order:
//
//   +---------------+-----------------+-----+-------+----
//   | tag's length  | chunk's length  | tag | chunk | …
//   | 4 bytes       | 4 bytes         |     |       |
//   +---------------+-----------------+-----+-------+----
//
// SIGUSR1 is written to stderr, and interrupts what a thread waits for.
//
// exit waits until the workers have made all flushes. reload unregisters and registers
// again, when all instances were exited. fork is what -d does: the child goes on, and
// the parent waits for it. At the end of stdin the process ends at once.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { FLB_ERROR, FLB_OK, FLB_RETRY };
enum { FLB_PROXY_OUTPUT_PLUGIN = 2, FLB_PROXY_GOLANG = 11 };

// What follows has the layout of Fluent Bit's own.

struct flb_plugin_proxy_def {
    int type, proxy, flags;
    char *name, *description;
    int event_type;
    void *config_map;
};

struct property {
    char *key, *value;
    struct property *next;
};

struct job;
struct worker;

struct flb_output_instance { // ours; the library takes it for opaque
    struct flb_plugin_proxy_context *context;
    struct property *properties;
    int workers, next;
    size_t stack;
    struct worker *pool;
};

struct flb_api {
    const char *(*output_get_property)(const char *, struct flb_output_instance *);
    void *others[8]; // nobody must call them
};

struct flb_plugin_proxy_context {
    void *remote_context;
    void *proxy;
};

struct flbgo_output_plugin {
    char *name;
    void *api;
    void *o_ins;
    struct flb_plugin_proxy_context *context;
    int (*cb_init)(struct flbgo_output_plugin *);
    int (*cb_flush)(const void *, size_t, const char *);
    int (*cb_flush_ctx)(void *, const void *, size_t, char *);
    int (*cb_exit)(void);
    int (*cb_exit_ctx)(void *);
};

static void *library;
static struct flb_plugin_proxy_def def;
static struct flbgo_output_plugin plugin;

static void die(const char *what) {
    fprintf(stderr, "host: %s\n", what);
    _exit(3);
}

static void *need(void *p) {
    if (p == NULL) {
        die("out of memory");
    }
    return p;
}

// Like flb_kv_get_key_value: the first of that name, in any case.
static const char *get_property(const char *key, struct flb_output_instance *in) {
    if (key == NULL || *key == '\0') {
        return NULL;
    }
    for (struct property *p = in->properties; p != NULL; p = p->next) {
        if (strcasecmp(p->key, key) == 0) {
            return p->value;
        }
    }
    return NULL;
}

static struct flb_api api = {.output_get_property = get_property};

// One line, whole.
static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...) {
    char line[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    line[n++] = '\n';
    if (write(1, line, n) != n) {
        _exit(0); // nobody reads
    }
}

// ---- a flush

struct job {
    struct flb_output_instance *in;
    const char *tag; // not terminated, as Fluent Bit has it
    size_t taglen;
    const void *chunk;
    size_t size;
    struct bulk *bulk; // or NULL: it is answered by its id
    unsigned long id;
    void *map; // the chunk's pages
    size_t mapped;
    struct job *next;
};

struct bulk {
    pthread_mutex_t mu;
    pthread_cond_t done;
    long left, ok, others;
};

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

// As proxy_go_output_flush.
static int go_flush(struct job *j) {
    char *tag = malloc(j->taglen + 1);
    if (tag == NULL) {
        return FLB_ERROR;
    }
    memcpy(tag, j->tag, j->taglen);
    tag[j->taglen] = '\0';
    int ret = plugin.cb_flush_ctx != NULL
                  ? plugin.cb_flush_ctx(j->in->context->remote_context, j->chunk, j->size, tag)
                  : plugin.cb_flush(j->chunk, j->size, tag);
    memset(tag, 'X', j->taglen); // whoever still has it shall see that it is gone
    free(tag);
    return ret;
}

struct coroutine {
    ucontext_t caller, self;
    struct job *job;
    int result;
};

static __thread struct coroutine *running;

static void coroutine_main(void) {
    struct coroutine *c = running;
    c->result = go_flush(c->job);
    swapcontext(&c->self, &c->caller);
}

enum { PAINT = 0xa5 };

// Flushes on a stack of its own, and gives how many bytes of it were used.
static int on_coroutine(struct job *j, size_t stack, size_t *depth) {
    size_t page = sysconf(_SC_PAGESIZE);
    size_t room = (stack + page - 1) / page * page;
    char *map = mmap(NULL, page + room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map, page, PROT_NONE) != 0) {
        die("there is no memory for a stack");
    }
    char *low = map + page, *high = low + room, *untouched = low;
    memset(low, PAINT, room);

    struct coroutine c = {.job = j};
    running = &c;
    getcontext(&c.self);
    c.self.uc_stack.ss_sp = low;
    c.self.uc_stack.ss_size = room;
    c.self.uc_link = NULL;
    makecontext(&c.self, coroutine_main, 0);
    swapcontext(&c.caller, &c.self);
    running = NULL;

    while (untouched < high && (unsigned char)*untouched == PAINT) {
        untouched++;
    }
    *depth = high - untouched;
    munmap(map, page + room);
    return c.result;
}

static void flush(struct job *j) {
    static const char *const names[] = {"ERROR", "OK", "RETRY"};
    size_t depth;
    int64_t start = now_us();
    int ret = on_coroutine(j, j->in->stack, &depth);
    if (ret != FLB_OK && ret != FLB_RETRY) { // as proxy_cb_flush
        ret = FLB_ERROR;
    }
    if (j->bulk != NULL) {
        pthread_mutex_lock(&j->bulk->mu);
        j->bulk->left--;
        *(ret == FLB_OK ? &j->bulk->ok : &j->bulk->others) += 1;
        pthread_cond_signal(&j->bulk->done);
        pthread_mutex_unlock(&j->bulk->mu);
    } else {
        // Gone, and never to be another chunk's address.
        mmap(j->map, j->mapped, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        say("flush %lu %s %ld %zu", j->id, names[ret], (long)(now_us() - start), depth);
        free((void *)j->tag);
    }
    free(j);
}

// ---- workers

struct worker {
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t more;
    struct job *first, **end;
    int ending;
};

static void *work(void *arg) {
    struct worker *w = arg;
    for (;;) {
        pthread_mutex_lock(&w->mu);
        while (w->first == NULL && !w->ending) {
            pthread_cond_wait(&w->more, &w->mu);
        }
        struct job *j = w->first;
        if (j != NULL && (w->first = j->next) == NULL) {
            w->end = &w->first;
        }
        pthread_mutex_unlock(&w->mu);
        if (j == NULL) {
            return NULL;
        }
        flush(j);
    }
}

// Deals jobs out in turn.
static void deal(struct job *j) {
    struct flb_output_instance *in = j->in;
    if (in->workers == 0) {
        flush(j);
        return;
    }
    struct worker *w = &in->pool[in->next++ % in->workers];
    pthread_mutex_lock(&w->mu);
    j->next = NULL;
    *w->end = j;
    w->end = &j->next;
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->mu);
}

// ---- commands

enum { MOST = 4096 };
static struct flb_output_instance *instances[MOST];
static int count;

static struct flb_output_instance *instance(int i) {
    if (i < 0 || i >= count || instances[i] == NULL) {
        die("there is no such instance");
    }
    return instances[i];
}

static void do_register(const char *path) {
    library = dlopen(path, RTLD_LAZY);
    if (library == NULL) {
        die(dlerror());
    }
    memset(&def, 0, sizeof def);
    def.type = FLB_PROXY_OUTPUT_PLUGIN;
    int (*pre)(int) = dlsym(library, "FLBPluginPreRegister");
    if (pre != NULL && pre(0) == -1) {
        die("FLBPluginPreRegister failed");
    }
    int (*reg)(struct flb_plugin_proxy_def *) = dlsym(library, "FLBPluginRegister");
    if (reg == NULL || reg(&def) == -1) {
        die("FLBPluginRegister is not there, or failed");
    }
    if (def.type != FLB_PROXY_OUTPUT_PLUGIN || def.proxy != FLB_PROXY_GOLANG) {
        die("it is no output in Go");
    }
    memset(&plugin, 0, sizeof plugin);
    plugin.api = &api;
    plugin.name = need(strdup(def.name));
    plugin.cb_init = dlsym(library, "FLBPluginInit");
    plugin.cb_flush = dlsym(library, "FLBPluginFlush");
    plugin.cb_flush_ctx = dlsym(library, "FLBPluginFlushCtx");
    plugin.cb_exit = dlsym(library, "FLBPluginExit");
    plugin.cb_exit_ctx = dlsym(library, "FLBPluginExitCtx");
    if (plugin.cb_init == NULL) {
        die("could not load FLBPluginInit symbol");
    }
    say("ready %s %s", def.name, def.description);
}

static void do_unregister(void) {
    void (*unregister)(struct flb_plugin_proxy_def *) = dlsym(library, "FLBPluginUnregister");
    if (unregister != NULL) {
        unregister(&def);
    }
    free(plugin.name);
    dlclose(library);
}

static void release(struct flb_output_instance *in) {
    for (struct property *p = in->properties, *next; p != NULL; p = next) {
        next = p->next;
        free(p->key);
        free(p->value);
        free(p);
    }
    free(in->pool);
    free(in->context);
    free(in);
}

// What flb_output_exit does with one: also with one whose start has failed.
static void do_exit(struct flb_output_instance *in) {
    for (int i = 0; i < in->workers; i++) {
        struct worker *w = &in->pool[i];
        pthread_mutex_lock(&w->mu);
        w->ending = 1;
        pthread_cond_signal(&w->more);
        pthread_mutex_unlock(&w->mu);
        pthread_join(w->thread, NULL);
    }
    void (*pre)(int) = dlsym(library, "FLBPluginOutputPreExit");
    if (pre != NULL) {
        pre(0);
    }
    if (plugin.cb_exit_ctx != NULL) {
        plugin.cb_exit_ctx(in->context->remote_context);
    } else if (plugin.cb_exit != NULL) {
        plugin.cb_exit();
    }
    release(in);
}

// Each start has a thread of its own, as the engine has after a hot reload.
static void *start(void *arg) {
    struct flb_output_instance *in = arg;
    plugin.o_ins = in;
    plugin.context = in->context;
    return (void *)(intptr_t)plugin.cb_init(&plugin);
}

static void do_init(int workers, size_t stack, int properties) {
    struct flb_output_instance *in = need(calloc(1, sizeof *in));
    in->context = need(calloc(1, sizeof *in->context));
    in->stack = stack;
    struct property **end = &in->properties;
    for (; properties > 0; properties--) {
        char *line = NULL;
        size_t room = 0;
        ssize_t n = getline(&line, &room, stdin);
        char *space = n > 0 ? strchr(line, ' ') : NULL;
        if (space == NULL) {
            die("a property has no value");
        }
        line[n - 1] = *space = '\0';
        struct property *p = need(calloc(1, sizeof *p));
        p->key = need(strdup(line));
        p->value = space[1] == '\0' ? NULL : need(strdup(space + 1)); // as with an empty one
        free(line);
        *end = p;
        end = &p->next;
    }
    pthread_t engine;
    void *ret;
    if (pthread_create(&engine, NULL, start, in) != 0 || pthread_join(engine, &ret) != 0) {
        die("there is no thread to be had");
    }
    if ((intptr_t)ret <= 0 || count == MOST) {
        do_exit(in);
        say("init failed");
        return;
    }
    in->workers = workers;
    in->pool = need(calloc(workers + 1, sizeof *in->pool));
    for (int i = 0; i < workers; i++) {
        struct worker *w = &in->pool[i];
        pthread_mutex_init(&w->mu, NULL);
        pthread_cond_init(&w->more, NULL);
        w->end = &w->first;
        if (pthread_create(&w->thread, NULL, work, w) != 0) {
            die("there is no thread to be had");
        }
    }
    instances[count] = in;
    say("init %d", count++);
}

static void read_all(char *to, size_t n) {
    if (fread(to, 1, n, stdin) != n) {
        _exit(0); // the test is gone
    }
}

static void do_flush(unsigned long id, struct flb_output_instance *in, size_t taglen, size_t size) {
    struct job *j = need(calloc(1, sizeof *j));
    j->id = id;
    j->in = in;
    j->taglen = taglen;
    j->size = size;
    char *tag = need(malloc(taglen + 1));
    read_all(tag, taglen);
    j->tag = tag;
    size_t page = sysconf(_SC_PAGESIZE);
    size_t room = (size + page - 1) / page * page;
    j->mapped = room + page;
    j->map = mmap(NULL, j->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (j->map == MAP_FAILED) {
        die("there is no memory for a chunk");
    }
    char *chunk = (char *)j->map + room - size;
    read_all(chunk, size);
    if ((room > 0 && mprotect(j->map, room, PROT_READ) != 0) ||
        mprotect((char *)j->map + room, page, PROT_NONE) != 0) {
        die("a chunk cannot be protected");
    }
    j->chunk = chunk;
    deal(j);
}

static int64_t cpu_us(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (int64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 + r.ru_utime.tv_usec + r.ru_stime.tv_usec;
}

static void do_bulk(struct flb_output_instance *in, long times, const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size == 0) {
        die("the file of chunks cannot be read");
    }
    char *data = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (data == MAP_FAILED) {
        die("the file of chunks cannot be read");
    }
    close(fd);
    struct bulk b = {.mu = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
    int64_t bytes = 0, wall = now_us(), cpu = cpu_us();
    for (; times > 0; times--) {
        for (char *p = data, *end = data + st.st_size; p < end;) {
            uint32_t lengths[2];
            memcpy(lengths, p, sizeof lengths);
            p += sizeof lengths;
            struct job *j = need(calloc(1, sizeof *j));
            j->in = in;
            j->bulk = &b;
            j->tag = p;
            j->taglen = lengths[0];
            j->chunk = p += lengths[0];
            j->size = lengths[1];
            p += lengths[1];
            bytes += j->size;
            pthread_mutex_lock(&b.mu);
            b.left++;
            while (b.left > 2 * in->workers + 1) { // Fluent Bit does not queue without end
                pthread_cond_wait(&b.done, &b.mu);
            }
            pthread_mutex_unlock(&b.mu);
            deal(j);
        }
    }
    pthread_mutex_lock(&b.mu);
    while (b.left > 0) {
        pthread_cond_wait(&b.done, &b.mu);
    }
    pthread_mutex_unlock(&b.mu);
    say("bulk %ld %ld %ld %ld %ld", b.ok, b.others, (long)bytes, (long)(now_us() - wall), (long)(cpu_us() - cpu));
    munmap(data, st.st_size);
}

static void do_fork(void) {
    pid_t child = fork();
    if (child < 0) {
        die("it cannot fork");
    }
    if (child > 0) {
        int status;
        while (waitpid(child, &status, 0) < 0) {
        }
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 4);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    say("forked");
}

static void signalled(int sig) {
    (void)sig;
    if (write(2, "signal\n", 7) < 0) {
        _exit(5);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        die("it takes the library");
    }
    signal(SIGPIPE, SIG_IGN); // as flb_config_init
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = signalled}, NULL); // without SA_RESTART
    do_register(argv[1]);
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        int i, n, workers;
        unsigned long id;
        size_t a, b;
        long times;
        char path[4096];
        if (sscanf(line, "init %d %zu %d", &workers, &a, &n) == 3) {
            do_init(workers, a, n);
        } else if (sscanf(line, "flush %lu %d %zu %zu", &id, &i, &a, &b) == 4) {
            do_flush(id, instance(i), a, b);
        } else if (sscanf(line, "bulk %d %ld %4095[^\n]", &i, &times, path) == 3) {
            do_bulk(instance(i), times, path);
        } else if (sscanf(line, "exit %d", &i) == 1) {
            do_exit(instance(i));
            instances[i] = NULL;
            say("exit %d", i);
        } else if (strcmp(line, "reload\n") == 0) {
            do_unregister();
            do_register(argv[1]);
        } else if (strcmp(line, "fork\n") == 0) {
            do_fork();
        } else if (strcmp(line, "quit\n") == 0) {
            do_unregister();
            return 0;
        } else {
            die("it does not know that command");
        }
    }
    _exit(0);
}
