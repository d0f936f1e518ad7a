#include "base/cgroup.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "base/directory.h"

namespace bertie {
namespace {

// A folder that holds /proc and /sys as Linux writes them.
class CgroupTest : public testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = root() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::filesystem::path root() const { return dir_.path(); }

 private:
  TemporaryDirectory dir_ = *TemporaryDirectory::Create();
};

TEST_F(CgroupTest, NothingToReadIsNoLimit) {
  EXPECT_FALSE(ReadCgroupLimits(root()).processors);
  EXPECT_FALSE(ReadCgroupLimits(root()).memory_bytes);
}

TEST_F(CgroupTest, TheRootOfAContainersNamespace) {
  Write("proc/self/cgroup", "0::/\n");
  Write("sys/fs/cgroup/cpu.max", "150000 100000\n");
  Write("sys/fs/cgroup/memory.max", "536870912\n");
  const CgroupLimits limits = ReadCgroupLimits(root());
  EXPECT_DOUBLE_EQ(limits.processors.value(), 1.5);
  EXPECT_EQ(limits.memory_bytes.value(), 536870912);
}

TEST_F(CgroupTest, TheTightestOfTheGroupsAbove) {
  Write("proc/self/cgroup", "0::/system.slice/bertie.service\n");
  Write("sys/fs/cgroup/system.slice/bertie.service/cpu.max", "max 100000\n");
  Write("sys/fs/cgroup/system.slice/bertie.service/memory.max", "1000000000\n");
  Write("sys/fs/cgroup/system.slice/cpu.max", "50000 100000\n");
  Write("sys/fs/cgroup/system.slice/memory.max", "max\n");
  const CgroupLimits limits = ReadCgroupLimits(root());
  EXPECT_DOUBLE_EQ(limits.processors.value(), 0.5);
  EXPECT_EQ(limits.memory_bytes.value(), 1000000000);
}

TEST_F(CgroupTest, VersionOne) {
  Write("proc/self/cgroup", "4:memory:/docker/1\n2:cpu,cpuacct:/docker/1\n");
  Write("sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us", "300000\n");
  Write("sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us", "100000\n");
  Write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  Write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  Write("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "268435456\n");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  const CgroupLimits limits = ReadCgroupLimits(root());
  EXPECT_DOUBLE_EQ(limits.processors.value(), 3.0);
  EXPECT_EQ(limits.memory_bytes.value(), 268435456);
}

TEST_F(CgroupTest, AContainersPathThatOnlyTheHostHas) {
  Write("proc/self/cgroup", "2:cpu:/kubepods/pod1/2\n");
  Write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n");
  Write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_DOUBLE_EQ(ReadCgroupLimits(root()).processors.value(), 2.0);
}

}  // namespace
}  // namespace bertie
