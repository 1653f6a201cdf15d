/* What the library must not accept. */
#ifndef QUIRE_TEST_REFUSALS_H
#define QUIRE_TEST_REFUSALS_H

/* Prints every wrong call that the library lets pass, or refuses without saying why. Returns how many there were. */
int check_refusals(const char *level);

#endif
