// First process of the arm64 test machine: runs what stands in /tests, says how each ended, and switches off.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

static int run(const char* path) {
  pid_t child = fork();
  if (child == 0) {
    char* const arguments[] = {(char*)path, NULL};
    execv(path, arguments);
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(void) {
  mount("proc", "/proc", "proc", 0, "");
  mount("sysfs", "/sys", "sysfs", 0, "");
  mount("devtmpfs", "/dev", "devtmpfs", 0, "");
  mount("tmpfs", "/tmp", "tmpfs", 0, "");
  int failed = 0;
  DIR* tests = opendir("/tests");
  for (struct dirent* entry; tests && (entry = readdir(tests));) {
    if (entry->d_name[0] == '.') continue;
    char path[300];
    snprintf(path, sizeof path, "/tests/%s", entry->d_name);
    int code = run(path);
    printf("%s: exit code %d\n", entry->d_name, code);
    failed |= code != 0;
  }
  printf(failed ? "VM FAILED\n" : "VM PASSED\n");
  fflush(stdout);
  sync();
  reboot(RB_POWER_OFF);
}
