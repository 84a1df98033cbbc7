// Ends the process at its second interruption, whatever JavaScript's thread computes meanwhile.
#pragma once

namespace parscale {

// From now on the second SIGINT or SIGTERM ends the process with exit code 130 and the terminal as it is now. The first one goes to
// whoever handles it already; signals that nobody handles stay as they are. Calling it again does nothing.
// What a mapped file that was cut short does to the process is named as well (bus-error.h).
void watchInterrupts();

// For the end of the process, after Node has taken its handlers away: an interruption that comes in it ends it as a second one does.
void endAtInterrupts();

// The first interruption has been acted upon and the process goes on: the next one counts as the first.
void forgetInterrupt();

}  // namespace parscale
