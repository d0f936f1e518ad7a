# The Python package: build/.../python/bertie, ready to import, and what a wheel installs.
if(BERTIE_PYTHON)
  set(Python_EXECUTABLE ${BERTIE_PYTHON})
endif()
find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
find_package(pybind11 REQUIRED)

pybind11_add_module(bertie_python MODULE NO_EXTRAS src/python/module.cc)
bertie_options(bertie_python)
set(package ${CMAKE_BINARY_DIR}/python/bertie)
set_target_properties(bertie_python PROPERTIES OUTPUT_NAME _core UNITY_BUILD OFF
  LIBRARY_OUTPUT_DIRECTORY ${package})
target_link_libraries(bertie_python PRIVATE bertie_train bertie_hub)
# Of the hub's folder it takes what asks nobody, without curl and what that loads.
target_link_options(bertie_python PRIVATE -Wl,--as-needed)
target_compile_definitions(bertie_python PRIVATE BERTIE_VERSION="${PROJECT_VERSION}")
# pybind11's templates convert signs and shadow names.
target_include_directories(bertie_python SYSTEM PRIVATE ${pybind11_INCLUDE_DIRS} ${Python_INCLUDE_DIRS})

file(GLOB python_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/python/bertie/*)
add_custom_target(bertie_python_files ALL
  COMMAND ${CMAKE_COMMAND} -E copy_if_different ${python_files} ${package}
  DEPENDS bertie_python)

install(TARGETS bertie_python DESTINATION bertie COMPONENT python)
install(PROGRAMS $<TARGET_FILE:bertie> DESTINATION bertie/_bin COMPONENT python)
