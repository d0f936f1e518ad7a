# Options that hold for every target of ours, and the one-library-a-folder rule.

# Files that are compiled together (CMAKE_UNITY_BUILD): enough to share what headers cost, few
# enough to keep two processors busy.
set(CMAKE_UNITY_BUILD_BATCH_SIZE 10)

function(bertie_options target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
    -Wno-sign-conversion -Werror -fno-math-errno
    -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
  # GCC 12 sees an overlap in every "text" + std::string&& that it inlines (GCC bug 105651).
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE -Wno-restrict)
  endif()
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  # Of files that are compiled together one sees the anonymous namespaces of the others, which GCC
  # takes for a header's, as the files are included.
  set(together $<BOOL:$<TARGET_PROPERTY:UNITY_BUILD>>)
  target_compile_options(${target} PRIVATE $<${together}:-Wno-shadow>
    $<$<AND:${together},$<CXX_COMPILER_ID:GNU>>:-Wno-subobject-linkage>)
  if(BERTIE_SANITIZE)
    target_compile_options(${target} PUBLIC -fsanitize=${BERTIE_SANITIZE} -fno-omit-frame-pointer
      -fno-sanitize-recover=all)
    # GCC loses track of what is initialised in instrumented code.
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      target_compile_options(${target} PRIVATE -Wno-maybe-uninitialized)
    endif()
    target_link_options(${target} PUBLIC -fsanitize=${BERTIE_SANITIZE})
  else()
    target_compile_options(${target} PRIVATE -fstack-protector-strong)
    target_compile_definitions(${target} PRIVATE $<$<CONFIG:Release>:_FORTIFY_SOURCE=2>)
    target_link_options(${target} PUBLIC -Wl,-z,relro,-z,now)
  endif()
endfunction()

function(bertie_sources out folder)
  file(GLOB_RECURSE found CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.cc)
  set(${out} ${found} PARENT_SCOPE)
endfunction()

# bertie_library(NAME LINK lib...): src/NAME/*.cc as the static library bertie_NAME.
function(bertie_library name)
  cmake_parse_arguments(arg "" "" "LINK" ${ARGN})
  bertie_sources(sources src/${name})
  if(sources)
    add_library(bertie_${name} STATIC ${sources})
    bertie_options(bertie_${name})
    target_link_libraries(bertie_${name} PUBLIC ${arg_LINK})
  else()
    add_library(bertie_${name} INTERFACE)
    target_include_directories(bertie_${name} INTERFACE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(bertie_${name} INTERFACE ${arg_LINK})
  endif()
endfunction()

# bertie_protocol(NAME FILE.proto): what protoc makes of it, as the static library
# bertie_NAME_protocol; its headers are included as "FILE.pb.h" and "FILE.grpc.pb.h". Our warnings
# do not hold for generated code.
function(bertie_protocol name proto)
  get_filename_component(stem ${proto} NAME_WE)
  get_filename_component(folder ${CMAKE_SOURCE_DIR}/${proto} DIRECTORY)
  set(out ${CMAKE_BINARY_DIR}/protocol/${name})
  file(MAKE_DIRECTORY ${out})
  set(made ${out}/${stem}.pb.cc ${out}/${stem}.grpc.pb.cc)
  add_custom_command(OUTPUT ${made} ${out}/${stem}.pb.h ${out}/${stem}.grpc.pb.h
    COMMAND protobuf::protoc --proto_path=${folder} --cpp_out=${out} --grpc_out=${out}
      --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN} ${stem}.proto
    DEPENDS ${CMAKE_SOURCE_DIR}/${proto} VERBATIM)
  add_library(bertie_${name}_protocol STATIC ${made})
  set_target_properties(bertie_${name}_protocol PROPERTIES UNITY_BUILD OFF)
  target_include_directories(bertie_${name}_protocol SYSTEM PUBLIC ${out})
  target_link_libraries(bertie_${name}_protocol PUBLIC protobuf::libprotobuf bertie_grpc)
endfunction()

# bertie_embed(TARGET FOLDER PATTERN...): the files below FOLDER that match become part of TARGET,
# by embed.cmake.
function(bertie_embed target folder)
  set(root ${CMAKE_SOURCE_DIR}/${folder})
  list(TRANSFORM ARGN PREPEND ${root}/)
  file(GLOB_RECURSE found RELATIVE ${root} CONFIGURE_DEPENDS ${ARGN})
  list(SORT found)
  set(out ${CMAKE_BINARY_DIR}/embedded/${target}.cc)
  set(script ${CMAKE_SOURCE_DIR}/cmake/embed.cmake)
  list(TRANSFORM found PREPEND ${root}/ OUTPUT_VARIABLE inputs)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DROOT=${root} "-DFILES=${found}" -P ${script}
    DEPENDS ${inputs} ${script} VERBATIM)
  target_sources(${target} PRIVATE ${out})
endfunction()
