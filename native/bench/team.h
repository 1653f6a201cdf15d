/* Threads that wait awake, as ggml's do, so that short work is measured and not the time that waking takes. */
#ifndef QUIRE_BENCH_TEAM_H
#define QUIRE_BENCH_TEAM_H

struct team;
typedef void team_function(void *argument, int thread);

/* Starts threads - 1 threads; the caller's is the one with number 0. Ends the program when the system has none left. */
struct team *team_start(int threads);
int team_size(const struct team *team);
void team_stop(struct team *team);

/* Runs function(argument, 0 .. threads - 1) at the same time and waits for all. Returns the seconds that it took. */
double team_run(struct team *team, team_function *function, void *argument);

#endif
