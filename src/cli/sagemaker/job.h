// `bertie train` as the program of a SageMaker training container.
#pragma once

#include <string>
#include <vector>

namespace bertie::cli {

// True where the arguments (without the program's name) are `train` alone and a training
// container's configuration is there: BASE/input/config, BASE being $SAGEMAKER_BASE_DIR or /opt/ml.
bool IsSageMakerTraining(const std::vector<std::string>& arguments);

// Reads the container's configuration, trains, and leaves the model in BASE/model, the report in
// BASE/output/data and TensorBoard's events in BASE/output/tensorboard. Success leaves
// BASE/output/success; an error is reported, and BASE/output/failure, where there is none yet, gets
// its message. A run that was stopped by SIGTERM leaves neither. Returns the exit code.
int RunSageMakerJob();

// What `serve` alone means where BASE/model holds a model, or SAGEMAKER_MULTI_MODEL is true: its
// arguments in full. Else the arguments as they are.
std::vector<std::string> ServeArguments(const std::vector<std::string>& arguments);

}  // namespace bertie::cli
