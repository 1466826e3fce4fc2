#include <libfuzzer.h>

// libFuzzer looks at this section after each input, as at the counters that the compiler inserts.
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t counters[4096];

void feature_seen(uint32_t feature) { counters[feature % sizeof(counters)] = 1; }
