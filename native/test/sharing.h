/* Pages in memory that outlives the process. */
#ifndef QUIRE_TEST_SHARING_H
#define QUIRE_TEST_SHARING_H

/*
 * Prints everything that another handle over the same memory does not find as it was left. Returns how much that was. Where
 * the system has no such memory, that is said, and only that a handle goes on without it is checked.
 */
int check_sharing(const char *level);

#endif
