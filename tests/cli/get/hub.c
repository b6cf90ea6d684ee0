/* A hub for the tests of `winnow get`: hub ROOT PORT_FILE LOG. It answers /api/models/... from ROOT/api and files from
 * ROOT/files, whole or from a Range on, and writes a line a request into LOG. Files in ROOT change its ways:
 *   redirect     files are sent on to another host (localhost is one, to 127.0.0.1) and /cdn/...
 *   cut          it holds N: each answer ends after N bytes of the body
 *   slow         a pause after every 16 KiB
 *   whole        Range is ignored
 *   token        it holds the only token that is let in
 *   gated        all files are 403
 *   busy         the first request after it was made gets a 503 */
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *root, *log_path;
static int port;

static int there(const char *name)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return access(path, F_OK) == 0;
}

static long number(const char *name, long fallback)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%ld", &fallback) != 1)
        fallback = 0;
    if (f)
        fclose(f);
    return fallback;
}

static void status(FILE *to, const char *line)
{
    fprintf(to, "HTTP/1.1 %s\r\nContent-Length: 5\r\nConnection: close\r\n\r\nsorry", line);
}

static void send_file(FILE *to, const char *path, long from)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &st) != 0) {
        status(to, "404 Not Found");
        return;
    }
    if (there("whole"))
        from = -1;
    if (from > 0 && from >= st.st_size) {
        status(to, "416 Range Not Satisfiable");
        fclose(f);
        return;
    }
    if (from >= 0)
        fprintf(to, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %ld-%ld/%ld\r\n", from, (long)st.st_size - 1,
                (long)st.st_size);
    else
        fprintf(to, "HTTP/1.1 200 OK\r\n");
    from = from < 0 ? 0 : from;
    fprintf(to, "Content-Length: %ld\r\nConnection: close\r\n\r\n", (long)st.st_size - from);
    fseek(f, from, SEEK_SET);
    static char piece[16384];
    long left = number("cut", -1);
    for (size_t n; left != 0 && (n = fread(piece, 1, sizeof piece, f)) > 0;) {
        if (left > 0 && n > (size_t)left)
            n = (size_t)left;
        left -= left > 0 ? (long)n : 0;
        fwrite(piece, 1, n, to);
        fflush(to);
        if (there("slow"))
            nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
    fclose(f);
}

static void answer(FILE *to, const char *target, const char *token, long from)
{
    char path[900], clean[600], want[100] = "";
    snprintf(clean, sizeof clean, "%s", target);
    clean[strcspn(clean, "?")] = '\0';
    snprintf(path, sizeof path, "%s/token", root);
    FILE *f = fopen(path, "r");
    if (f && fgets(want, sizeof want, f))
        want[strcspn(want, "\n")] = '\0';
    if (f)
        fclose(f);
    snprintf(path, sizeof path, "%s/busy", root);
    if (unlink(path) == 0)
        status(to, "503 Service Unavailable");
    else if (*want && strcmp(want, token) != 0 && strncmp(clean, "/cdn/", 5) != 0)
        status(to, "401 Unauthorized");
    else if (strncmp(clean, "/api/", 5) == 0) {
        snprintf(path, sizeof path, "%s%s", root, clean);
        send_file(to, path, -1);
    } else if (there("gated"))
        status(to, "403 Forbidden");
    else if (strncmp(clean, "/cdn/", 5) != 0 && there("redirect"))
        fprintf(to, "HTTP/1.1 302 Found\r\nETag: \"of-the-redirection\"\r\nLocation: http://localhost:%d/cdn%s\r\n"
                    "Content-Length: 0\r\nConnection: close\r\n\r\n", port, clean);
    else {
        const char *file = strstr(clean, "/resolve/");
        file = file ? strchr(file + 9, '/') : NULL;
        snprintf(path, sizeof path, "%s/files%s", root, file ? file : "/none");
        send_file(to, path, from);
    }
}

static void serve(int fd)
{
    FILE *to = fdopen(fd, "r+");
    char line[1000], target[600] = "", token[100] = "";
    long from = -1;
    if (!to || !fgets(line, sizeof line, to) || sscanf(line, "GET %599s", target) != 1)
        _exit(0);
    while (fgets(line, sizeof line, to) && line[0] != '\r') {
        for (char *p = line; *p && *p != ':'; p++)
            *p = (char)tolower((unsigned char)*p);
        sscanf(line, "range: bytes=%ld-", &from);
        sscanf(line, "authorization: Bearer %99s", token);
    }
    FILE *log = fopen(log_path, "a");
    if (log) {
        fprintf(log, "%s%s%s\n", target, from >= 0 ? " from the middle" : "", *token ? " with a token" : "");
        fclose(log);
    }
    fseek(to, 0, SEEK_CUR);
    answer(to, target, token, from);
    fflush(to);
    fclose(to);
    _exit(0);
}

int main(int argc, char **argv)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (argc != 4 || s < 0 || bind(s, (struct sockaddr *)&a, n) != 0 || listen(s, 16) != 0)
        return 1;
    root = argv[1];
    log_path = argv[3];
    signal(SIGCHLD, SIG_IGN);
    getsockname(s, (struct sockaddr *)&a, &n);
    FILE *f = fopen(argv[2], "w");
    if (!f)
        return 1;
    port = ntohs(a.sin_port);
    fprintf(f, "%d\n", port);
    fclose(f);
    alarm(50); /* no test leaves it behind */
    for (;;) {
        int fd = accept(s, NULL, NULL);
        if (fd >= 0 && fork() == 0)
            serve(fd);
        if (fd >= 0)
            close(fd);
    }
}
